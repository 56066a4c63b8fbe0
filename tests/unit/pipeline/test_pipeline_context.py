"""Context columns: by their own name, from the source's column, or told by the clock."""

from datetime import UTC, datetime

import numpy as np
import pytest

from app.pipeline import context
from app.pipeline.context import ContextReader, interactions
from model.features.spec import ChannelSpec, ContextSpec, FeatureSpec

MATCH = {"name": "device", "column": "agent", "match": [["iPhone", "phone"], ["Mac", "desktop"]], "default": "other"}
RECIPE = {"interactions": [{"path": "a", "user": "u", "item": "i", "context": [MATCH, "hour", "weekday", "country"]}]}
SPEC = FeatureSpec(
    event_types=("view",),
    tasks=(),
    context=(
        ContextSpec(name="device", values=("phone", "desktop", "other")),
        ContextSpec(name="hour", values=("0", "16")),
        ContextSpec(name="weekday", values=("1",)),
        ContextSpec(name="country", values=("BR",)),
    ),
    channels=(ChannelSpec(name="tower", kind="tower"),),
)
READER = ContextReader(SPEC, RECIPE)  # type: ignore[arg-type]  # JSON by construction
TUESDAY = datetime(2026, 11, 24, 16, 30, tzinfo=UTC).timestamp()


def test_a_value_of_the_column_is_taken_as_it_is() -> None:
    assert READER.values({"device": "phone", "hour": 16, "country": "BR"}, np.nan) == {
        "device": "phone",
        "hour": "16",
        "country": "BR",
    }


def test_substrings_make_values_and_the_default_stands_for_the_rest() -> None:
    assert READER.values({"agent": "Mozilla (iPhone)"}, np.nan)["device"] == "phone"
    assert READER.values({"device": "Mozilla (Macintosh)"}, np.nan)["device"] == "desktop"
    assert READER.values({"agent": "curl"}, np.nan)["device"] == "other"
    assert "device" not in READER.values({}, np.nan)


def test_the_clock_tells_hour_and_weekday_unless_they_are_given() -> None:
    assert READER.values({}, TUESDAY) == {"hour": "16", "weekday": "1"}
    assert READER.values({"hour": 0}, TUESDAY)["hour"] == "0"
    assert READER.values({}, np.nan) == {}


def test_ids_follow_the_spec_and_unknown_values_are_zero() -> None:
    assert READER.ids({"device": "desktop", "hour": "16", "country": "XX"}).tolist() == [2, 2, 0, 0]


def test_sources_name_both_kinds_of_columns() -> None:
    assert READER.sources == ["device", "agent", "hour", "weekday", "country"]


def test_a_column_that_no_table_declares_is_read_by_its_name() -> None:
    assert ContextReader(SPEC, {}).values({"device": "phone"}, np.nan) == {"device": "phone"}


def test_one_table_or_many_are_both_read() -> None:
    table = RECIPE["interactions"][0]
    assert interactions({"interactions": table})[0].user == "u"  # type: ignore[dict-item]  # JSON by construction
    assert interactions({}) == []


def test_the_contexts_of_past_events_read_as_those_of_requests_do() -> None:
    packed = ['{"agent":"Mozilla (iPhone)","country":"BR"}', "", '{"device":"desktop","hour":0}']
    times = np.asarray([TUESDAY, TUESDAY, np.nan])
    found = READER.ids_of(packed, times)
    given = [{"agent": "Mozilla (iPhone)", "country": "BR"}, {}, {"device": "desktop", "hour": 0}]
    for row, told, time in zip(found, given, times, strict=True):
        assert row.tolist() == READER.ids(READER.values(told, time)).tolist()  # type: ignore[arg-type]  # plain values
    np.testing.assert_array_equal(READER.ids_of(packed, times), found)  # as remembered
    assert READER.ids_of(packed[:1], times[:1] + 86400).tolist() == [[1, 2, 0, 1]]  # another day of the week


def test_past_events_without_any_columns_tell_nothing() -> None:
    plain = SPEC.model_copy(update={"context": ()})
    assert ContextReader(plain, {}).ids_of(["", '{"device":"tv"}'], np.asarray([1.0, 2.0])).shape == (2, 0)
    assert READER.ids_of([], np.empty(0)).shape == (0, 4)


def test_what_is_remembered_of_contexts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "KEPT", 3)
    reader = ContextReader(SPEC, RECIPE)  # type: ignore[arg-type]  # JSON by construction
    for place in range(10):
        reader.ids_of([f'{{"country":"{place}"}}'], np.asarray([TUESDAY]))
        assert len(reader._kept) <= 3
    assert reader.ids_of(['{"country":"BR"}'], np.asarray([TUESDAY])).tolist() == [[0, 2, 1, 1]]
