"""The lexical half of a text: its terms, its length, what lies near; and in a bundle beside the encoder's half."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from index.encode import ItemEncoder
from model.bundle import Bundle, open_bundle, write_manifest
from model.errors import BundleError
from model.features.lexical import BUCKETS, FOLDER, Lexicon, counts, terms
from model.features.records import ItemRecord
from model.train.lexicon import LENGTH, fit_lexicon, term_matrix, unit_rows
from tests.tiny_bundles import SPEC, TEXT_DIM, tiny_manifest, write_tiny

FILMS = [
    "Star Wars (1977)", "Star Wars: The Empire Strikes Back (1980)", "Star Trek: The Motion Picture (1979)",
    "Star Trek II: The Wrath of Khan (1982)", "Alien (1979)", "Aliens (1986)", "The Godfather (1972)",
    "The Godfather: Part II (1974)", "红楼梦", "红楼梦 第二回", "三国演义", "三国演义 第一回",
]  # fmt: skip
ENCODED = np.random.default_rng(0).standard_normal((len(FILMS), TEXT_DIM)).astype(np.float32)
NEAR = {
    "Star Wars VI": (0, 1),
    "star trek iii": (2, 3),
    "godfather 3": (6, 7),
    "新红楼梦": (8, 9),
    "三国演义": (10, 11),
}


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    made = fit_lexicon(FILMS, ENCODED, 8)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Star Wars, part_2", ["star", "wars", "part", "2", "star wars", "wars part", "part 2"]),
        ("红楼梦", ["红", "楼", "梦", "红 楼", "楼 梦"]),
        ("Ｔｏｋｙｏ東京", ["tokyo", "東", "京", "tokyo 東", "東 京"]),
        ("STRASSE", terms("straße")),
        ("사랑의 불시착", ["사랑의", "불시착", "사랑의 불시착"]),
        (" ?! ", []),
        ("", []),
    ],
)
def test_terms_are_words_and_pairs(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_counts_grow_by_their_logarithm() -> None:
    buckets, weights = counts("river river river")
    assert (np.diff(buckets) > 0).all()
    np.testing.assert_allclose(np.sort(weights), [1 + np.log(2), 1 + np.log(3)], rtol=1e-6)
    assert counts("\ud800")[1].tolist() == []  # half a character is no word, and no error


def test_titles_lie_by_those_that_share_their_words(lexicon: Lexicon) -> None:
    known = lexicon.vectors(FILMS)
    for text, expected in NEAR.items():
        scores = known @ lexicon.vectors([text])[0]
        assert set(np.argsort(-scores)[:2].tolist()) == set(expected), text


def test_a_batch_equals_its_texts_alone_and_nothing_known_is_zero(lexicon: Lexicon) -> None:
    texts = [*FILMS, "", "qwertz uiop", "..."]
    together = lexicon.vectors(texts)
    assert (together == np.concatenate([lexicon.vectors([text]) for text in texts])).all()
    assert not together[-3:].any()
    assert (np.linalg.norm(together, axis=1) <= LENGTH + 1e-3).all()
    assert lexicon.vectors([]).shape == (0, 8)


def test_with_room_for_all_directions_products_are_those_of_tf_idf() -> None:
    made = fit_lexicon([*FILMS, "", FILMS[0]], np.zeros((14, 1), np.float32), 500)
    assert made is not None
    assert made.width == len(FILMS) - 1
    rows = unit_rows(sp.csr_matrix(term_matrix(FILMS) @ sp.diags(made.idf)))
    exact = np.asarray((rows @ rows.T).todense())
    found = made.vectors(FILMS)
    difference = np.abs(found @ found.T / LENGTH**2 - exact)
    assert np.sort(difference.ravel())[-20:].max() < 0.3  # one direction, the least, is left out
    assert np.median(difference) < 0.01


def test_a_fit_is_the_same_again_in_any_order_of_items(lexicon: Lexicon) -> None:
    again = fit_lexicon(FILMS[::-1], ENCODED[::-1], 8)
    assert again is not None
    assert again.digest() == lexicon.digest()
    other = fit_lexicon(FILMS[1:], ENCODED[1:], 8)
    assert other is not None
    assert other.digest() != lexicon.digest()


@pytest.mark.parametrize(("texts", "dim"), [(FILMS, 0), ([], 8), (["", ""], 8), (["alone"], 8), (["one", "one"], 8)])
def test_without_dimensions_or_texts_there_is_no_lexicon(texts: list[str], dim: int) -> None:
    assert fit_lexicon(texts, ENCODED, dim) is None


def lexical_bundle(parent: Path, lexicon: Lexicon) -> Path:
    """A tiny bundle whose text vectors have a lexical half."""
    spec = SPEC.model_copy(update={"text_dim": TEXT_DIM + 8})
    path = write_tiny(parent, spec=spec)
    np.save(path / "item_features" / "text.npy", np.zeros((30, spec.text_dim), np.float16))
    lexicon.save(path / FOLDER)
    write_manifest(path, tiny_manifest(items=30, users=6, spec=spec))
    return path


def test_items_put_at_run_time_get_both_halves(tmp_path: Path, lexicon: Lexicon) -> None:
    bundle = open_bundle(lexical_bundle(tmp_path, lexicon), sealed=False)
    found = ItemEncoder(bundle).texts([ItemRecord({"title": "red star", "description": "wars"}), ItemRecord()])
    assert found.shape == (2, TEXT_DIM + 8)
    np.testing.assert_array_equal(found[:, TEXT_DIM:], lexicon.vectors(["red star. wars", ""]))
    plain: Bundle = open_bundle(write_tiny(tmp_path, "old"), sealed=False)
    assert plain.lexicon is None
    np.testing.assert_array_equal(
        found[0, :TEXT_DIM], ItemEncoder(plain).strings(["red star. wars"])[0] - lexicon.centre
    )
    assert not found[1].any()


@pytest.mark.parametrize(
    "change",
    [
        {"idf": np.zeros(BUCKETS - 1, np.float32)},
        {"basis": np.zeros((BUCKETS - 1, 8), np.float16)},
        {"basis": np.zeros((BUCKETS, 9), np.float16)},
        {"centre": np.zeros(TEXT_DIM + 1, np.float32)},
    ],
)
def test_a_lexicon_that_does_not_fit_is_refused(tmp_path: Path, lexicon: Lexicon, change: dict[str, Any]) -> None:
    path = lexical_bundle(tmp_path, replace(lexicon, **change))
    with pytest.raises(
        BundleError, match=rf"lexicon: found .*; idf, basis, centre must be of {BUCKETS} buckets and 20"
    ):
        open_bundle(path, sealed=False)


def test_the_centre_is_the_mean_of_the_different_texts(lexicon: Lexicon) -> None:
    twice = fit_lexicon([*FILMS, FILMS[3], ""], np.concatenate([ENCODED, ENCODED[3:4], ENCODED[:1]]), 8)
    assert twice is not None
    np.testing.assert_allclose(twice.centre, ENCODED.mean(0), atol=1e-6)
    assert twice.digest() == lexicon.digest()
    beside = lexicon.beside(ENCODED, FILMS)
    np.testing.assert_allclose(beside[:, :TEXT_DIM].mean(0), 0, atol=1e-6)
    np.testing.assert_array_equal(beside[:, TEXT_DIM:], lexicon.vectors(FILMS))
