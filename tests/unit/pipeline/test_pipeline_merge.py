"""Merging lists: quotas, the limit, and the memory of who offered what."""

import numpy as np

from app.pipeline.merge import merge
from model.features.neighbours import Evidence


def offer(*rows: int) -> Evidence:
    return Evidence(np.asarray(rows, np.int64), np.linspace(2.0, 1.0, len(rows), dtype=np.float32))


def test_each_row_is_once_and_knows_its_channels() -> None:
    found = merge({"tower": offer(5, 3, 9), "graph": offer(3, 7)}, {}, 10)
    assert found.rows.tolist() == [3, 5, 7, 9]
    assert found.channels(np.arange(4)) == (("tower", "graph"), ("tower",), ("graph",), ("tower",))


def test_a_quota_cuts_a_list() -> None:
    found = merge({"tower": offer(5, 3, 9), "graph": offer(3, 7)}, {"tower": 1}, 10)
    assert found.rows.tolist() == [3, 5, 7]
    assert found.channels(np.asarray([0])) == (("graph",),)


def test_a_quota_of_zero_silences_a_channel() -> None:
    assert merge({"tower": offer(5), "graph": offer(3)}, {"tower": 0}, 10).rows.tolist() == [3]


def test_the_limit_cuts_all_lists_at_the_same_share() -> None:
    long, short = offer(*range(100, 140)), offer(*range(4))
    found = merge({"long": long, "short": short}, {}, 22)
    assert set(found.rows.tolist()) == {*range(100, 120), 0, 1}


def test_nothing_offered_is_nothing_merged() -> None:
    found = merge({"tower": Evidence.empty()}, {}, 10)
    assert len(found) == 0
    assert found.offered.shape == (0, 1)
    assert len(merge({}, {}, 10)) == 0
