"""Attribute filters by raw value; each refusal says what to give instead."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from index.filters import NumberColumn, ValueColumn, attribute_of, bounds, number_of, plain_values, values_of
from model.errors import RequestError
from model.features.records import ItemRecord
from tests.tiny_bundles import SPEC


def test_values_are_spelled_as_records_spell_them() -> None:
    assert plain_values("year", ["x", 3, 2.5, True]) == ["x", "3", "2.5", "true"]


def test_numbers_and_ranges_are_closed_intervals() -> None:
    asked = bounds("year", [5, {"min": 1, "max": 2}, {"min": 3}, {"max": 4.5}])
    assert asked == [(5, 5), (1, 2), (3, math.inf), (-math.inf, 4.5)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plain_values("kind", [{"min": 1}]), "filter value of kind: found {'min': 1}; give strings or numbers"),
        (lambda: bounds("year", ["1990"]), "filter value of year: found '1990'; give finite numbers"),
        (lambda: bounds("year", [True]), "filter value of year: found True; give finite numbers"),
        (lambda: bounds("year", [math.nan]), "filter value of year: found nan; give finite numbers"),
        (lambda: bounds("year", [{"max": math.inf}]), "filter value of year: found inf; give finite numbers"),
        (lambda: bounds("year", [{}]), 'filter range of year: found {}; give {"min": …, "max": …} or one'),
        (lambda: bounds("year", [{"from": 1}]), "filter range of year: found {'from': 1}"),
        (lambda: bounds("year", [{"min": 2, "max": 1}]), "give a min that is not above the max"),
        (
            lambda: attribute_of(SPEC.attributes, "size"),
            "filter attribute: found 'size'; use one of: colour, kind, year",
        ),
        (lambda: attribute_of((), "size"), "none: this catalogue has no attributes"),
    ],
)
def test_what_cannot_be_asked_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(RequestError) as refusal:
        call()
    assert message in str(refusal.value)


def test_a_value_column_has_the_union() -> None:
    column = ValueColumn({"a": 0, "b": 1}, np.asarray([0, 2, 3]), np.asarray([0, 3, 1], np.int32))
    assert column.having(["a"], 5).tolist() == [True, False, False, True, False]
    assert column.having(["b", "a"], 5).tolist() == [True, True, False, True, False]
    assert not column.having(["c"], 5).any()
    assert not column.having([], 5).any()


def test_an_unknown_number_lies_in_no_interval() -> None:
    column = NumberColumn(np.asarray([1.0, math.nan, 3.0]))
    assert column.having([(-math.inf, math.inf)]).tolist() == [True, False, True]
    assert column.having([(3, 3), (0, 1)]).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("value", "values", "number"),
    [
        (None, [], math.nan),
        ("a", ["a"], math.nan),
        (1995, ["1995"], 1995.0),
        ("1995", ["1995"], 1995.0),
        (["x", "y", "x"], ["x", "y"], math.nan),
        ([2.0, 3.5], ["2", "3.5"], 2.0),
        ([], [], math.nan),
        (True, ["true"], 1.0),
    ],
)
def test_records_are_read_leniently(value: str | float | list[str] | None, values: list[str], number: float) -> None:
    record = ItemRecord(attributes={"it": value})
    assert values_of(record, "it") == values
    np.testing.assert_equal(number_of(record, "it"), number)
