"""Encoding items put at run time, by graphs whose answers are known."""

from pathlib import Path

import numpy as np
import pytest

from index.build import seal
from index.encode import ItemEncoder
from index.vectors import log_end, same_length, user_vectors
from model.bundle import Bundle, open_bundle, write_manifest
from model.features.records import ItemRecord
from model.ids import NO_ROW
from tests.tiny_bundles import DIM, SPEC, TEXT_DIM, WORDS, tiny_manifest, write_tiny


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = write_tiny(tmp_path_factory.mktemp("bundles"), items=5, user_items=[[0], [], [1], [], [0, 1, 2, 3, 4, 0, 1]])
    seal(path)
    return open_bundle(path)


def test_a_new_item_lives_by_its_text_and_attributes(bundle: Bundle) -> None:
    record = ItemRecord({"title": "red", "description": "story"}, {"colour": ["green", "pink"], "year": 1995})
    text, ids, vectors = ItemEncoder(bundle).encode([record, ItemRecord()])
    assert np.flatnonzero(text[0]).tolist() == [0, WORDS.index("red"), WORDS.index("story")]  # 0: the joining stop
    assert ids.tolist() == [[2, 7, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(vectors[0], text[0][:DIM], rtol=1e-6)
    assert not text[1].any()
    assert not vectors[1].any()


def test_an_updated_item_keeps_its_place_in_the_graph(bundle: Bundle) -> None:
    _, _, vectors = ItemEncoder(bundle).encode([ItemRecord(), ItemRecord(), ItemRecord()], [3, NO_ROW, 99])
    np.testing.assert_allclose(vectors[0], bundle.array("item_features/graph.npy")[3], rtol=1e-6)
    assert not vectors[1:].any()


def test_a_batch_equals_its_items_alone(bundle: Bundle) -> None:
    encoder = ItemEncoder(bundle)
    records = [ItemRecord({"title": title}, {"kind": "car"}) for title in ("red car", "two", "plane plane boat")]
    together = encoder.encode(records)
    for place, record in enumerate(records):
        for whole, part in zip(together, encoder.encode([record]), strict=True):
            assert (whole[place] == part[0]).all()


def test_text_vectors_made_before_are_used(bundle: Bundle) -> None:
    text = np.full((1, TEXT_DIM), 0.5, np.float32)
    given, _, vectors = ItemEncoder(bundle).encode([ItemRecord({"title": "red"})], text=text)
    assert given is text
    np.testing.assert_allclose(vectors[0], text[0][:DIM], rtol=1e-6)


def test_no_records_make_empty_arrays(bundle: Bundle) -> None:
    text, ids, vectors = ItemEncoder(bundle).encode([])
    assert (text.shape, ids.shape, vectors.shape) == ((0, TEXT_DIM), (0, 4), (0, DIM))


def test_a_query_is_encoded_like_a_text(bundle: Bundle) -> None:
    encoder = ItemEncoder(bundle)
    assert (encoder.strings(["red car"]) == encoder.texts([ItemRecord({"title": "red car"})])).all()


def test_a_recipe_without_text_encodes_by_attributes_alone(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"text_fields": ()})
    path = write_tiny(tmp_path, spec=spec)
    for name in ("text_encoder.onnx", "tokenizer.json"):
        (path / name).unlink()
    write_manifest(path, tiny_manifest(items=30, users=6, spec=spec))
    unsealed = open_bundle(path, sealed=False)
    text, _, _ = ItemEncoder(unsealed).encode([ItemRecord({"title": "red"})])
    assert not text.any()
    assert not ItemEncoder(unsealed).strings(["red"]).any()


def test_users_run_in_groups_of_one_length_and_each_exactly_once(bundle: Bundle) -> None:
    groups = [group.tolist() for group in same_length(bundle)]
    assert sorted(groups) == [[0, 2], [1, 3], [4]]


def test_user_vectors_are_those_of_each_user_alone(bundle: Bundle) -> None:
    items = np.asarray(bundle.array("item_features/vectors.npy"))
    vectors = user_vectors(bundle, items)
    np.testing.assert_allclose(vectors[0], items[0], rtol=1e-6)
    assert not vectors[1].any()
    np.testing.assert_allclose(vectors[4], items[[2, 3, 4, 0, 1]].mean(0), rtol=1e-5)  # the newest five


def test_the_log_ends_with_its_newest_event(bundle: Bundle) -> None:
    assert log_end(bundle) == 8.0


def test_an_untimed_or_empty_log_has_no_end(tmp_path: Path) -> None:
    assert np.isnan(log_end(open_bundle(write_tiny(tmp_path, user_items=[]), sealed=False)))
