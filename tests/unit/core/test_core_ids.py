"""Ids: what is one, and the two-way map."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import PolyrankError, shorten
from model.ids import NO_ROW, IdError, IdMap, check_id


@pytest.mark.parametrize("good", ["1", "a/b", "片名", "ü" * 128, " "])
def test_any_short_unicode_is_an_id(good: str) -> None:
    assert check_id(good) == good


@pytest.mark.parametrize("bad", ["", "x" * 257, "ü" * 129, "a\x00b"])
def test_empty_long_and_nul_ids_are_refused(bad: str) -> None:
    with pytest.raises(IdError, match=r"item_id: found .*1 to 256 bytes"):
        check_id(bad, "item_id")


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(IdError, match="valid Unicode"):
        check_id("\ud800")


@given(st.lists(st.text(min_size=1), unique=True))
def test_rows_and_ids_go_both_ways(names: list[str]) -> None:
    ids = IdMap(names)
    assert [ids.id(row) for row in ids.rows(names)] == names
    assert [ids.add(name) for name in names] == list(range(len(names)))
    assert len(ids) == len(names)


def test_unknown_ids_and_rows() -> None:
    ids = IdMap(["a"])
    assert ids.row("b") == NO_ROW
    assert "b" not in ids
    assert ids.add("b") == 1
    assert ids.names == ["a", "b"]
    with pytest.raises(IndexError, match="rows start at 0"):
        ids.id(NO_ROW)


def test_duplicate_ids_are_refused() -> None:
    with pytest.raises(IdError, match="remove the duplicates"):
        IdMap(["a", "a"])


def test_an_error_names_thing_value_and_move() -> None:
    error = PolyrankError("n", 0, "use 1 to 200")
    assert str(error) == "n: found 0; use 1 to 200"
    assert shorten("x" * 500).endswith("…")
    assert len(shorten("x" * 500)) == 120
