"""Splits know no future, labels look no further than told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import Split
from model.data.labels import look_ahead
from model.data.log import TEST, TRAIN, VALID
from model.data.roles import NO_PART
from model.data.split import by_bounds, leave_last, split_rows, time_bounds
from model.errors import DataError

TIMES = st.lists(st.integers(0, 50).map(float), min_size=1, max_size=60).map(lambda values: np.sort(np.asarray(values)))
SHARES = st.tuples(st.floats(0.1, 0.8), st.floats(0.05, 0.15))
USERS = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40)


@given(TIMES, SHARES)
def test_a_split_by_time_has_no_future(times: np.ndarray, shares: tuple[float, float]) -> None:
    parts = by_bounds(times, *time_bounds(times, *shares))
    for earlier, later in ((TRAIN, VALID), (VALID, TEST), (TRAIN, TEST)):
        assert times[parts == earlier].max(initial=-1) < times[parts == later].min(initial=99)
    assert (parts == TEST).any()


@given(TIMES, SHARES)
def test_equal_times_are_never_cut_apart(times: np.ndarray, shares: tuple[float, float]) -> None:
    parts = by_bounds(times, *time_bounds(times, *shares))
    assert all(len(set(parts[times == time].tolist())) == 1 for time in set(times.tolist()))


def test_fractions_are_kept_where_times_differ() -> None:
    times = np.arange(1000.0)
    parts = by_bounds(times, *time_bounds(times, 0.8, 0.1))
    assert np.bincount(parts).tolist() == [800, 100, 100]


@given(USERS)
def test_leave_last_takes_two_events_of_each_user_with_three(rows: list[tuple[int, bool]]) -> None:
    user, event = np.asarray([row[0] for row in rows]), np.asarray([row[1] for row in rows])
    parts = leave_last(user, event)
    for one in range(5):
        mine = parts[(user == one) & event].tolist()
        if len(mine) < 3:
            assert set(parts[user == one].tolist()) <= {TRAIN}
        else:
            assert mine == [TRAIN] * (len(mine) - 2) + [VALID, TEST]
            assert (np.diff(parts[user == one]) >= 0).all()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans()), min_size=1, max_size=30), st.integers(0, 6)
)
def test_look_ahead_is_what_a_loop_over_all_pairs_says(rows: list[tuple[int, int, bool]], horizon: int) -> None:
    group, time, hit = (np.asarray(column) for column in zip(*rows, strict=True))
    found = look_ahead(hit.astype(np.float32), group, time.astype(float), horizon)
    for place in range(len(rows)):
        gaps = time - time[place]
        expected = (hit & (group == group[place]) & (gaps >= 0) & (gaps <= horizon)).any()
        assert found[place] == expected


def _by_column(part: list[int], time: list[float], user: list[int] | None = None, share: float = 0.4) -> list[int]:
    split = Split(kind="column", train=0.5, valid=share)
    users = np.asarray(user or [0] * len(part))
    event = np.ones(len(part), bool)
    parts = split_rows(split, users, np.asarray(time, float), event, np.asarray(part, np.int8))
    return [int(one) for one in parts]


def test_a_column_is_taken_at_its_word() -> None:
    assert _by_column([TEST, TRAIN, VALID], [1, 2, 3]) == [TEST, TRAIN, VALID]


def test_rows_without_a_part_go_by_the_times_of_those_with_one() -> None:
    part = [TRAIN, NO_PART, VALID, NO_PART, TEST, NO_PART]
    assert _by_column(part, [1, 2, 3, 4, 5, 6]) == [TRAIN, TRAIN, VALID, VALID, TEST, TEST]
    with pytest.raises(DataError, match="rows without a split column: found 1; they have neither a part nor a time"):
        _by_column([TRAIN, NO_PART], [np.nan, np.nan])


def test_without_a_valid_part_the_last_training_rows_validate() -> None:
    assert _by_column([TRAIN] * 5 + [TEST], [1, 2, 3, 4, 5, 0]) == [TRAIN, TRAIN, TRAIN, VALID, VALID, TEST]
    untimed = _by_column([TRAIN] * 5, [np.nan] * 5, [0, 0, 0, 0, 1])
    assert untimed == [TRAIN, TRAIN, TRAIN, VALID, TRAIN]
    assert _by_column([TEST], [1]) == [TEST]
