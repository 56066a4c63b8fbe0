"""Item counters: known answers, order of arrival, shares that do not drift, files."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.features.counters import PRIOR_EVENTS, ItemCounters

DAY = 86400.0
HALVES = (DAY, 7 * DAY)
ALL = np.arange(3)
events = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 2), st.floats(0, 100 * DAY, allow_nan=False)), min_size=1, max_size=30
)


def counted(found: list[tuple[int, int, float]]) -> ItemCounters:
    counters = ItemCounters.empty(3, 2, HALVES)
    for row, kind, time in found:
        counters.add(row, kind, time)
    return counters


@given(events)
def test_a_count_is_the_sum_of_its_decayed_events(found: list[tuple[int, int, float]]) -> None:
    counters = counted(found)
    for row, kind, window in np.ndindex(3, 2, 2):
        times = [t for r, k, t in found if (r, k) == (row, kind + 1)]
        expected = sum(0.5 ** ((counters.newest[row] - t) / HALVES[window]) for t in times)
        assert counters.counts[row, kind, window] == pytest.approx(expected, rel=1e-9, abs=1e-300)


@given(events, st.randoms(use_true_random=False))
def test_order_of_arrival_does_not_matter(found: list[tuple[int, int, float]], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    one, two = counted(found), counted(shuffled)
    np.testing.assert_allclose(one.shares(ALL), two.shares(ALL), atol=1e-5)
    np.testing.assert_allclose(one.columns(ALL)[:, -1], two.columns(ALL)[:, -1])


def test_an_average_item_reads_as_zero_and_a_popular_one_above() -> None:
    even = counted([(row, 1, 0.0) for row in range(3)])
    np.testing.assert_allclose(even.shares(ALL)[:, :3], 0.0, atol=1e-6)
    odd = counted([(0, 1, 0.0)] * 5 + [(1, 1, 0.0)])
    shares = odd.shares(ALL)[:, 2]
    assert shares[0] > 0 > shares[1] > shares[2]


def test_recent_events_weigh_more_in_a_short_window() -> None:
    counters = counted([(0, 1, 0.0), (0, 1, 0.0), (1, 1, 30 * DAY)])
    shares = counters.shares(ALL)
    assert shares[1, 0] > shares[0, 0]
    assert shares[0, 2] > shares[1, 2]


def test_untimed_events_count_in_the_undecayed_window_only() -> None:
    counters = ItemCounters.empty(2, 1, HALVES)
    counters.add(0, 1, np.nan)
    assert counters.counts[0, 0].tolist() == [0.0, 0.0, 1.0]
    assert np.isfinite(counters.shares(np.arange(2))).all()
    assert counters.columns(np.arange(2))[:, -1].tolist() == [0.0, 0.0]


def scaled_means(counters: ItemCounters, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean values on a scale from 0 to 10."""
    made = np.empty((len(rows), 1), np.float32)
    counters.fill_values(rows, 0.0, 10.0, made)
    return made[:, 0]


def test_mean_values_are_smoothed_towards_the_catalogue() -> None:
    counters = ItemCounters.empty(2, 1, HALVES)
    for value in (5.0, 5.0, 5.0):
        counters.add(0, 1, 0.0, value)
    counters.add(1, 1, 0.0, 1.0)
    prior = 16.0 / 4
    expected = [(15 + PRIOR_EVENTS * prior) / (3 + PRIOR_EVENTS), (1 + PRIOR_EVENTS * prior) / (1 + PRIOR_EVENTS)]
    np.testing.assert_allclose(scaled_means(counters, np.arange(2)), np.asarray(expected) / 10, rtol=1e-6)


def test_without_values_the_mean_is_in_the_middle() -> None:
    assert scaled_means(counted([(0, 1, 0.0)]), ALL).tolist() == [0.5, 0.5, 0.5]


def test_growing_keeps_what_was_counted() -> None:
    counters = counted([(0, 1, 0.0), (2, 2, DAY)])
    counters.grow(5)
    counters.grow(4)
    assert len(counters) == 5
    counters.add(4, 1, 2 * DAY)
    assert counters.counts[:, :, -1].sum() == 3


def test_files_bring_back_the_same_counters(tmp_path: Path) -> None:
    counters = counted([(0, 1, 0.0), (2, 2, DAY)])
    counters.save(tmp_path / "counters")
    again = ItemCounters.open(tmp_path / "counters")
    assert again.total_newest == counters.total_newest
    np.testing.assert_array_equal(again.shares(ALL), counters.shares(ALL))
    again.add(1, 1, 2 * DAY)  # not memory-mapped read-only: the service counts on


def test_a_row_beyond_the_end_reads_as_an_item_without_events() -> None:
    counters = ItemCounters.empty(3, 2, HALVES)
    for row, value in ((0, 4.0), (0, 2.0), (2, 5.0)):
        counters.add(row, 1, DAY, value)
    beyond, never_met = np.asarray([3, 17]), np.asarray([1, 1])
    for read in (counters.columns, partial(scaled_means, counters)):
        np.testing.assert_array_equal(read(beyond), read(never_met))
