"""What the wire takes: times, scalars, ids, defaults."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.values import Id, Moment, Scalar, Values, Wanted
from app.wire import FeedbackEvent, ItemBody, RecommendBody, SimilarQuery

moment, scalar, values = TypeAdapter[Any](Moment), TypeAdapter[Any](Scalar), TypeAdapter[Any](Values)
wanted, identifier = TypeAdapter[Any](Wanted), TypeAdapter[Any](Id)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (0, 0.0),
        (1.5, 1.5),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01", 1.0),
        ("1970-01-01 02:00:00+02:00", 0.0),
        ("1970-01-02", 86400.0),
        ("2024-02-29T12:00:00.250+00:00", 1709208000.25),
    ],
)
def test_times_are_epoch_seconds_or_iso_8601_in_utc(told: object, seconds: float) -> None:
    assert moment.validate_python(told) == seconds


@pytest.mark.parametrize(
    "told",
    [-1, True, None, "", "now", "12:00", [], float("nan"), float("inf"), "0001-01-01T00:00:00+23:59", "9999-12-31"],
)
def test_other_times_are_refused(told: object) -> None:
    with pytest.raises(ValidationError, match="give"):
        moment.validate_python(told)


def test_clocks_may_be_a_little_fast_but_not_in_milliseconds() -> None:
    assert moment.validate_python(time.time() + 60) > time.time()
    with pytest.raises(ValidationError, match="an hour from now, in seconds"):
        moment.validate_python(time.time() * 1000)


@given(st.text(max_size=50) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9))
def test_scalars_come_through_as_they_are(value: object) -> None:
    if isinstance(value, float) and abs(value) >= 1e300:
        return
    assert scalar.validate_python(value) == value
    assert values.validate_python([value, value]) == (value, value)
    assert wanted.validate_python(value) == value


@pytest.mark.parametrize("value", [None, [], {}, float("nan"), float("inf"), 10**400, "x" * 1001])
def test_other_scalars_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="give a string, a finite number or a boolean"):
        scalar.validate_python(value)
    with pytest.raises(ValidationError, match="give"):
        wanted.validate_python(value)
    with pytest.raises(ValidationError, match="give"):
        values.validate_python([value])


def test_lists_of_values_are_bounded() -> None:
    with pytest.raises(ValidationError, match="give at most 1000 values"):
        values.validate_python(["x"] * 1001)


@pytest.mark.parametrize("value", [{"min": 1}, {"max": 2.5}, {"min": -1, "max": 1}])
def test_ranges_are_wanted_values(value: dict[str, float]) -> None:
    assert wanted.validate_python(value) == value


@pytest.mark.parametrize("value", [{"min": "1"}, {"low": 1}, {"min": True}, {"min": float("nan")}, {"min": 1, "x": 1}])
def test_other_ranges_are_refused(value: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="give a range"):
        wanted.validate_python(value)


@given(st.text(min_size=1, max_size=64))
def test_ids_are_any_unicode(value: str) -> None:
    if "\x00" not in value and value.isprintable():
        assert identifier.validate_python(value) == value


def test_defaults_are_the_designs() -> None:
    asked = RecommendBody.model_validate_json("{}")
    assert (asked.n, asked.target, asked.exclude_seen, asked.explain, asked.diversity) == (
        20,
        "item",
        True,
        False,
        None,
    )
    assert (asked.filter.include, asked.filter.exclude, asked.task_weights, asked.timeout_ms) == ({}, {}, None, None)
    assert SimilarQuery.model_validate({}).n == 20
    assert ItemBody.model_validate({}).model_dump() == {"text": {}, "attributes": {}, "hidden": False}
    assert FeedbackEvent.model_validate({"type": "t", "session_id": "s", "item_id": "i"}).context == {}
