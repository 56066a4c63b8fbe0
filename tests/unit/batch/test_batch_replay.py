"""Point in time: nothing a row could not have known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.batch.pairs import passed_through, read_pairs
from app.batch.replay import Histories, Replay, Timeline
from app.batch.tables import write_table
from model.errors import DataError
from model.events import History
from model.features.counters import ItemCounters
from tests.bundles import START
from tests.pipelines import NOW, sealed

NAN = float("nan")
DAY = 86400.0


def timeline(*times: float) -> Timeline:
    size = len(times)
    return Timeline(np.arange(size), np.ones(size, np.int64), np.full(size, np.nan, np.float32), np.asarray(times))


def counted(*times: float) -> ItemCounters:
    counters = ItemCounters.empty(60, 3, sealed().spec.half_lives)
    for row, time in enumerate(times):
        counters.add(row, 1, time)
    return counters


def assert_equal(left: ItemCounters, right: ItemCounters) -> None:
    for name in ("counts", "newest", "first", "total", "total_newest"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_counters_know_all_events_strictly_before() -> None:
    replay = Replay.over(sealed(), timeline(START, START + 10, START + 20), 60)
    replay.until(START + 10)
    assert_equal(replay.counters, counted(START))
    replay.until(START + 10.5)
    assert_equal(replay.counters, counted(START, START + 10))
    replay.until(NAN)
    assert_equal(replay.counters, counted(START, START + 10, START + 20))


def test_a_log_behind_the_bundles_is_counted_on_top_of_it() -> None:
    replay = Replay.over(sealed(), timeline(NOW), 61)
    before = sealed().counters()
    assert len(replay.counters) == 61
    assert replay.counters.total_newest == before.total_newest
    replay.until(NOW + 1)
    assert replay.counters.total.sum() > 0
    assert replay.counters.counts[1:60, :, -1].sum() == before.counts[1:, :, -1].sum()


def test_without_a_log_the_bundles_counters_stand() -> None:
    replay = Replay.over(sealed(), timeline(), 60)
    replay.until(NAN)
    assert_equal(replay.counters, sealed().counters())


def test_histories_come_from_the_log_else_from_the_bundle_strictly_before() -> None:
    given = History.of([3, 4], [1, 1], [NAN, NAN], [10.0, 20.0])
    histories, trained = Histories(sealed(), {"u1": given}), sealed().user_history(2)
    assert histories.at("u1", 20.0).rows.tolist() == [3]
    assert histories.at("u1", NAN).rows.tolist() == [3, 4]
    middle = float(trained.times[3])
    assert histories.at("u2", middle).rows.tolist() == trained.rows[:3].tolist()
    assert len(histories.at("nobody-knows", NOW)) == 0


def pairs_of(tmp_path: Path, columns: dict[str, Any]) -> Any:
    write_table(tmp_path / "pairs.parquet", columns)
    return read_pairs(tmp_path / "pairs.parquet", sealed())


def test_pairs_of_one_user_moment_and_context_are_one_group(tmp_path: Path) -> None:
    columns = {
        "user": ["b", "a", "b", "a", "b"],
        "item": ["x", "x", "y", "z", "z"],
        "timestamp": [20.0, 10.0, 20.0, 10.0, 20.0],
        "device": ["mobile", None, "mobile", "fridge", "desktop"],
    }
    groups = pairs_of(tmp_path, columns).groups()
    assert [(one.user_id, one.now, one.context[0], one.pairs.tolist()) for one in groups] == [
        ("a", 10.0, 0, [1, 3]),
        ("b", 20.0, 1, [0, 2]),
        ("b", 20.0, 2, [4]),
    ]


def test_pairs_without_a_time_come_last(tmp_path: Path) -> None:
    groups = pairs_of(tmp_path, {"user": ["a", "b", "a"], "item": ["x"] * 3, "timestamp": [None, 5.0, None]}).groups()
    assert [(one.user_id, one.pairs.tolist()) for one in groups] == [("b", [1]), ("a", [0, 2])]
    assert np.isnan(groups[1].now)
    timeless = pairs_of(tmp_path, {"user": ["a"], "item": ["x"]})
    assert np.isnan(timeless.times).all()


def test_context_is_read_from_the_columns_or_told_by_the_clock(tmp_path: Path) -> None:
    columns = {"user": ["a", "b"], "item": ["x", "x"], "timestamp": [3 * 3600.0, 23 * 3600.0 + 5]}
    assert pairs_of(tmp_path, columns).contexts[:, 1].tolist() == [4, 24]
    assert pairs_of(tmp_path, {**columns, "hour": [0, 1]}).contexts[:, 1].tolist() == [1, 2]


def test_no_pairs_no_groups(tmp_path: Path) -> None:
    columns = {"user": np.asarray([], object), "item": np.asarray([], object)}
    pairs = pairs_of(tmp_path, columns)
    assert (len(pairs), pairs.groups(), pairs.contexts.shape) == (0, [], (0, 2))


def test_columns_whose_names_the_predictions_take_give_way(tmp_path: Path) -> None:
    pairs = pairs_of(tmp_path, {"user": ["a"], "item": ["x"], "row_id": [7], "like": [1.0]})
    assert list(passed_through(pairs, ["interest", "like"])) == ["user", "item", "row_id"]


def test_pairs_need_user_and_item(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"item column: found \['user'\]; name a column one of item_id, item"):
        pairs_of(tmp_path, {"user": ["a"]})
