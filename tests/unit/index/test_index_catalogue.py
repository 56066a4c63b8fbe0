"""The live catalogue: rows stay, changes are seen at once, and what is gone is never answered."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.build import seal
from index.catalogue import Delete, Hide, LiveCatalogue, Put
from index.delta import ROOM
from index.view import OVERFETCH
from model.bundle import Bundle, open_bundle
from model.errors import RequestError
from model.features.records import ItemRecord
from model.ids import NO_ROW, IdError
from tests.tiny_bundles import DIM, SPEC, TEXT_DIM, write_tiny

ITEMS = 30
QUERY = np.ones(DIM, np.float32)
NO_IDS, NO_TEXT = np.zeros(4, np.int32), np.zeros(TEXT_DIM, np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = write_tiny(tmp_path_factory.mktemp("bundles"), items=ITEMS)
    seal(path)
    return open_bundle(path)


@pytest.fixture
def catalogue(bundle: Bundle) -> LiveCatalogue:
    return LiveCatalogue(bundle)


def put(catalogue: LiveCatalogue, item_id: str, height: float, record: ItemRecord = ItemRecord(), **more: bool) -> int:  # noqa: B008
    """Put an item whose score for QUERY is 8 · height."""
    ids = SPEC.attribute_ids(record.attributes)
    return catalogue.put(item_id, record, np.full(DIM, height, np.float32), ids, NO_TEXT, **more)


def found(catalogue: LiveCatalogue, k: int = 1000) -> list[str]:
    return [catalogue.id(int(row)) for row in catalogue.search(QUERY, k).rows]


def test_it_begins_as_the_bundle(catalogue: LiveCatalogue, bundle: Bundle) -> None:
    rows = np.asarray([29, 0, 7])
    assert len(catalogue) == ITEMS
    assert catalogue.visible.all()
    assert (catalogue.vectors(rows) == bundle.array("item_features/vectors.npy")[rows]).all()
    assert (catalogue.attributes(rows) == bundle.array("item_features/attributes.npy")[rows]).all()
    assert (catalogue.row("i7"), catalogue.id(7), catalogue.record(7)) == (7, "i7", bundle.item_record(7))
    assert catalogue.row("nobody") == NO_ROW


def test_ids_of_bundle_and_run_time_are_one_map(catalogue: LiveCatalogue, bundle: Bundle) -> None:
    put(catalogue, "new", 1)
    ids = catalogue.view.ids
    assert ids.rows(["new", "i2", "nobody"]) == [ITEMS, 2, NO_ROW]
    assert [ids.id(row) for row in (ITEMS, 2)] == ["new", "i2"]
    assert len(ids) == ITEMS + 1
    assert ("new" in ids, "i0" in ids, "nobody" in ids) == (True, True, False)
    assert "new" not in bundle.items
    with pytest.raises(IndexError):
        ids.id(ITEMS + 1)


def test_a_new_item_has_the_next_row_and_is_found_at_once(catalogue: LiveCatalogue) -> None:
    record = ItemRecord({"title": "x"}, {"colour": ["red"]})
    row = put(catalogue, "new/Ünï", 100, record)
    assert row == ITEMS == catalogue.row("new/Ünï")
    assert found(catalogue, 1) == ["new/Ünï"]
    assert catalogue.record(row) is record
    assert catalogue.attributes(np.asarray([row, 0]))[0].tolist() == [1, 0, 0, 0]
    assert put(catalogue, "newer", 99) == ITEMS + 1


def test_an_updated_item_keeps_its_row_and_has_only_its_new_content(catalogue: LiveCatalogue) -> None:
    assert put(catalogue, "i4", 100, ItemRecord({"title": "new"})) == 4
    assert found(catalogue, 1) == ["i4"]
    assert catalogue.record(4).text == {"title": "new"}
    assert put(catalogue, "i4", -100) == 4
    assert found(catalogue)[-1] == "i4"
    assert found(catalogue).count("i4") == 1
    assert catalogue.vectors(np.asarray([4, 5]))[0].tolist() == [-100] * DIM
    assert len(catalogue) == ITEMS


@pytest.mark.parametrize("name", ["i3", "mine"])
def test_a_deleted_item_is_gone_until_put_again(catalogue: LiveCatalogue, name: str) -> None:
    row = put(catalogue, name, 5)
    assert catalogue.delete(name)
    assert name not in found(catalogue)
    assert not catalogue.visible[row]
    assert catalogue.view.removed[row]
    assert catalogue.row(name) == row
    assert catalogue.vectors(np.asarray([row])).tolist() == [[5.0] * DIM]  # histories still read it
    assert catalogue.hide(name, False)
    assert name not in found(catalogue)
    assert put(catalogue, name, 6) == row
    assert name in found(catalogue)
    assert not catalogue.view.removed[row]


@pytest.mark.parametrize("name", ["i3", "mine"])
def test_a_hidden_item_is_not_found_until_shown(catalogue: LiveCatalogue, name: str) -> None:
    put(catalogue, name, 5)
    assert catalogue.hide(name)
    assert name not in found(catalogue)
    assert catalogue.hide(name, False)
    assert name in found(catalogue)


def test_an_item_may_be_put_hidden(catalogue: LiveCatalogue) -> None:
    row = put(catalogue, "secret", 100, hidden=True)
    assert "secret" not in found(catalogue)
    assert not catalogue.visible[row]
    put(catalogue, "secret", 100)
    assert found(catalogue, 1) == ["secret"]


def test_what_was_never_there_cannot_be_hidden_or_deleted(catalogue: LiveCatalogue) -> None:
    assert not catalogue.hide("nobody")
    assert not catalogue.delete("nobody")
    assert len(catalogue) == ITEMS


def test_many_changes_are_seen_all_at_once(catalogue: LiveCatalogue) -> None:
    before = catalogue.view
    vector = np.full(DIM, 50, np.float32)
    new = Put("new", ItemRecord(), vector, NO_IDS, NO_TEXT)
    rows = catalogue.apply([new, Delete("new"), Hide("i1"), Delete("nobody"), new, Put("i2", *_content(60))])
    assert rows == [ITEMS, ITEMS, 1, NO_ROW, ITEMS, 2]
    assert found(catalogue, 2) == ["i2", "new"]
    assert "i1" not in found(catalogue)
    assert len(before) == ITEMS
    assert before.visible.all()
    assert before.row("new") == NO_ROW


def _content(height: float) -> tuple[ItemRecord, NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    return ItemRecord(), np.full(DIM, height, np.float32), NO_IDS, NO_TEXT


def test_a_view_stays_what_it_was(catalogue: LiveCatalogue) -> None:
    put(catalogue, "a", 10)
    put(catalogue, "i5", 20)
    view = catalogue.view
    before = view.search(QUERY, 1000), view.vectors(np.arange(len(view))), view.filter_mask({"colour": ["red"]}, {})
    for turn in range(4 * ROOM):
        put(catalogue, f"b{turn % 40}", 30 + turn, ItemRecord({}, {"colour": ["red", f"c{turn}"]}))
        put(catalogue, "i5", 30, ItemRecord({}, {"colour": ["red"]}))
    catalogue.delete("i0")
    after = view.search(QUERY, 1000), view.vectors(np.arange(len(view))), view.filter_mask({"colour": ["red"]}, {})
    assert before[0].rows.tolist() == after[0].rows.tolist()
    assert (before[1] == after[1]).all()
    assert (before[2] == after[2]).all()
    with pytest.raises(ValueError, match="read-only"):
        view.visible[0] = False


@pytest.mark.parametrize("read", [lambda c, rows: c.vectors(rows), lambda c, rows: c.attributes(rows)])
def test_row_minus_one_is_never_the_last_item(
    catalogue: LiveCatalogue, read: Callable[[LiveCatalogue, NDArray[np.int64]], object]
) -> None:
    with pytest.raises(IndexError, match="row -1: rows start at 0"):
        read(catalogue, np.asarray([2, NO_ROW]))
    with pytest.raises(IndexError, match="row -1: rows start at 0"):
        catalogue.record(NO_ROW)
    with pytest.raises(IndexError, match="rows start at 0"):
        catalogue.id(NO_ROW)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Put("x", ItemRecord(), np.ones(3, np.float32), NO_IDS, NO_TEXT), "vector of item x: .* encode it: 8 finite"),
        (Put("x", ItemRecord(), np.full(DIM, np.nan, np.float32), NO_IDS, NO_TEXT), "vector of item x: found array"),
        (Put("x", ItemRecord(), QUERY, np.zeros(1, np.int32), NO_TEXT), "attribute_ids of item x"),
        (Put("x", ItemRecord(), QUERY, NO_IDS, QUERY), "text_vector of item x: .* encode it: 12 finite"),
    ],
)
def test_one_bad_change_changes_nothing(catalogue: LiveCatalogue, change: Put, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        catalogue.apply([Delete("i1"), Put("y", *_content(1)), change])
    assert len(catalogue) == ITEMS
    assert catalogue.visible.all()
    assert put(catalogue, "y", 1) == ITEMS


def test_an_id_that_cannot_be_is_refused(catalogue: LiveCatalogue) -> None:
    with pytest.raises(IdError, match="item id: found ''"):
        put(catalogue, "", 1)


def test_excluded_rows_are_replaced_by_the_next_best(catalogue: LiveCatalogue) -> None:
    put(catalogue, "new", 100)
    everything = catalogue.search(QUERY, 100).rows
    excluded = everything[[0, 1, 5]]
    assert (
        catalogue.search(QUERY, 10, excluded=excluded).rows.tolist() == np.delete(everything, [0, 1, 5])[:10].tolist()
    )
    assert catalogue.search(QUERY, 10, excluded=np.asarray([NO_ROW])).rows.tolist() == everything[:10].tolist()


def test_many_excluded_rows_go_through_the_filter(tmp_path: Path) -> None:
    path = write_tiny(tmp_path, items=OVERFETCH + 50)
    seal(path)
    catalogue = LiveCatalogue(open_bundle(path))
    put(catalogue, "new", 100)
    everything = catalogue.search(QUERY, 1000).rows
    excluded = np.sort(everything[10 : 12 + OVERFETCH])
    left = catalogue.search(QUERY, 1000, excluded=np.append(excluded, [NO_ROW, len(catalogue) + 5])).rows
    assert left.tolist() == [row for row in everything.tolist() if row not in set(excluded.tolist())]


def test_rows_behind_an_older_mask_are_not_allowed(catalogue: LiveCatalogue) -> None:
    older = np.ones(len(catalogue), np.bool_)
    put(catalogue, "new", 100)
    assert "new" not in [catalogue.id(int(row)) for row in catalogue.search(QUERY, 100, older).rows]
    newer = np.ones(len(catalogue) + 9, np.bool_)
    assert catalogue.search(QUERY, 1, newer).rows.tolist() == [ITEMS]


def test_filters_see_values_of_the_bundle_and_values_first_seen_at_run_time(catalogue: LiveCatalogue) -> None:
    put(catalogue, "new", 1, ItemRecord({}, {"colour": ["pink", "red"], "year": 2030}))
    put(catalogue, "i0", 1, ItemRecord({}, {"kind": "spaceship"}))

    def having(**include: list[object]) -> list[int]:
        return np.flatnonzero(catalogue.filter_mask(include, {})).tolist()  # type: ignore[arg-type]  # any values are tried

    assert having(colour=["pink"]) == [ITEMS]
    assert having(colour=["violet"]) == [5, 10, 15, 20, 25]  # not i0 any more: what is left out is unknown
    assert having(kind=["spaceship", "nothing"]) == [0]
    assert having(colour=["red"], kind=["car"]) == [3, 9, 15, 21, 27]
    assert having(year=[2030, {"max": 1981}]) == [1, ITEMS]
    assert having(colour=["red"], year=[{"min": 2005}]) == [27, ITEMS]


def test_an_item_without_the_attribute_is_neither_included_nor_excluded(catalogue: LiveCatalogue) -> None:
    row = put(catalogue, "blank", 1)
    assert not catalogue.filter_mask({"year": [{"min": -1e9}]}, {})[row]
    assert catalogue.filter_mask({}, {"year": [{"min": -1e9}], "colour": ["red", "green", "blue"]})[row]
    assert np.count_nonzero(catalogue.filter_mask({}, {"colour": ["red", "green", "blue"]})) == 1


def test_an_unknown_attribute_is_refused_with_the_known_ones(catalogue: LiveCatalogue) -> None:
    with pytest.raises(RequestError, match="filter attribute: found 'size'; use one of: colour, kind, year"):
        catalogue.filter_mask({}, {"size": ["L"]})


def test_similar_items_share_vector_and_text_and_leave_the_item_out(catalogue: LiveCatalogue) -> None:
    vector = catalogue.vectors(np.asarray([3]))[0]
    text = np.eye(TEXT_DIM, dtype=np.float32)
    catalogue.put("text", ItemRecord(), np.zeros(DIM, np.float32), NO_IDS, text[0])
    catalogue.put("twin", ItemRecord(), vector * 7, NO_IDS, text[0])
    catalogue.put("kin", ItemRecord(), vector, NO_IDS, text[1])
    near = catalogue.similar(catalogue.row("twin"), 3)
    assert {catalogue.id(int(row)) for row in near.rows} == {"i3", "kin", "text"}  # equal but for rounding
    np.testing.assert_allclose(near.scores, [0.5, 0.5, 0.5], rtol=1e-5)
    catalogue.put("text", ItemRecord(), vector, NO_IDS, text[0])
    near = catalogue.similar(catalogue.row("twin"), 100)
    assert catalogue.id(int(near.rows[0])) == "text"
    assert near.scores[0] == pytest.approx(1.0)
    assert len(near) == len(catalogue) - 1
    assert catalogue.row("twin") not in near.rows


def test_without_text_similar_is_by_vector_alone(catalogue: LiveCatalogue) -> None:
    catalogue.put("copy", ItemRecord(), catalogue.vectors(np.asarray([3]))[0] * 2, NO_IDS, NO_TEXT)
    near = catalogue.similar(3, 1)
    assert (catalogue.id(int(near.rows[0])), near.scores[0]) == ("copy", pytest.approx(1.0))


def test_similar_keeps_to_the_allowed_and_visible(catalogue: LiveCatalogue) -> None:
    catalogue.hide("i4")
    allowed = np.zeros(ITEMS, np.bool_)
    allowed[[3, 4, 9]] = True
    assert catalogue.similar(3, 5, allowed).rows.tolist() == [9]


def test_in_a_large_catalogue_the_nearest_and_all_newcomers_are_compared(
    catalogue: LiveCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = np.zeros(TEXT_DIM, np.float32)
    text[2] = 1
    catalogue.put("a", ItemRecord(), np.ones(DIM, np.float32), NO_IDS, text)
    catalogue.put("b", ItemRecord(), -np.ones(DIM, np.float32), NO_IDS, text)
    small = catalogue.similar(catalogue.row("a"), ITEMS)
    monkeypatch.setattr("index.similar.ALL_ROWS", 3)
    monkeypatch.setattr("index.similar.CANDIDATES", 1)
    assert catalogue.similar(catalogue.row("a"), ITEMS + 1).rows.tolist()[:5] == small.rows.tolist()[:5]
    few = catalogue.similar(catalogue.row("a"), 2)
    assert catalogue.row("b") in catalogue.similar(catalogue.row("a"), ITEMS + 1).rows
    assert len(few) == 2
