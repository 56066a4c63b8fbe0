"""Item text to vectors: fields in the spec's order, truncated, and each text alone."""

import numpy as np
import pytest

from model.bundle import Bundle, open_bundle
from model.features.text import item_text, open_tokenizer, text_vectors
from tests.tiny_bundles import TEXT_DIM, WORDS, write_tiny


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(write_tiny(tmp_path_factory.mktemp("bundles")), sealed=False)


def test_fields_are_joined_in_the_specs_order_and_empty_ones_left_out() -> None:
    text = {"description": " boat ", "title": "red", "other": "x", "note": "  "}
    assert item_text(("title", "note", "description", "missing"), text) == "red. boat"
    assert item_text((), text) == item_text(("title",), {}) == ""


def test_a_text_is_the_mean_of_its_words_and_an_empty_one_is_zero(bundle: Bundle) -> None:
    tokenizer = open_tokenizer(bundle.path / "tokenizer.json", 6)
    vectors = text_vectors(bundle.session("text_encoder"), tokenizer, ["red boat", "", "blue"], TEXT_DIM)
    assert vectors.shape == (3, TEXT_DIM)
    assert np.flatnonzero(vectors[0]).tolist() == [WORDS.index("red"), WORDS.index("boat")]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1], rtol=1e-6)


def test_a_batch_equals_its_texts_alone(bundle: Bundle) -> None:
    tokenizer, session = open_tokenizer(bundle.path / "tokenizer.json", 6), bundle.session("text_encoder")
    texts = ["red", "green blue car boat plane", "two story"]
    alone = np.concatenate([text_vectors(session, tokenizer, [text], TEXT_DIM) for text in texts])
    assert (text_vectors(session, tokenizer, texts, TEXT_DIM) == alone).all()


def test_a_long_text_is_cut(bundle: Bundle) -> None:
    tokenizer, session = open_tokenizer(bundle.path / "tokenizer.json", 2), bundle.session("text_encoder")
    cut, short = (text_vectors(session, tokenizer, [text], TEXT_DIM) for text in ("red car boat plane", "red car"))
    assert (cut == short).all()


def test_no_texts_make_no_vectors(bundle: Bundle) -> None:
    tokenizer = open_tokenizer(bundle.path / "tokenizer.json", 6)
    assert text_vectors(bundle.session("text_encoder"), tokenizer, [], TEXT_DIM).shape == (0, TEXT_DIM)
