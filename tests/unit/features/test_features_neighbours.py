"""Neighbour tables: known sums, order, rows that training never saw, files."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.events import History
from model.features.neighbours import Evidence, Neighbours
from model.features.ranking import neighbour_evidence
from model.features.spec import ChannelSpec

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.floats(0.125, 8, width=32)), max_size=40)


def table(found: list[tuple[int, int, float]], keep: int = 100, size: int = 6) -> Neighbours:
    columns = np.asarray(found, float).reshape(-1, 3)
    return Neighbours.build(columns[:, 0].astype(np.int64), columns[:, 1].astype(np.int64), columns[:, 2], size, keep)


@given(pairs, st.lists(st.integers(0, 8), max_size=6))
def test_evidence_is_the_weighted_sum_over_the_history(found: list[tuple[int, int, float]], rows: list[int]) -> None:
    dense = np.zeros((6, 6))
    for source, target, weight in found:
        if source != target:
            dense[source, target] += weight
    factors = np.linspace(0.5, 1.0, len(rows)).astype(np.float32)
    expected = sum((factors[i] * dense[row] for i, row in enumerate(rows) if row < 6), start=np.zeros(6))
    evidence = table(found).evidence(np.asarray(rows, np.int64), factors)
    scores = np.zeros(6)
    scores[evidence.rows] = evidence.scores
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    assert len(set(evidence.rows.tolist())) == len(evidence)
    assert (np.diff(evidence.scores) <= 0).all()


def test_only_the_best_neighbours_are_kept() -> None:
    near = table([(0, 1, 1.0), (0, 2, 3.0), (0, 3, 2.0), (4, 5, 1.0)], keep=2)
    assert near.of(0).rows.tolist() == [2, 3]
    assert near.of(4).rows.tolist() == [5]
    assert len(near.of(17)) == 0


def test_equal_scores_go_by_row() -> None:
    assert table([(0, 3, 1.0), (0, 1, 1.0), (0, 2, 1.0)]).of(0).rows.tolist() == [1, 2, 3]


def test_a_mask_keeps_order_and_top_cuts() -> None:
    evidence = Evidence.ranked(np.asarray([4, 2, 9]), np.asarray([1.0, 3.0, 2.0], np.float32))
    mask = np.ones(10, bool)
    mask[9] = False
    assert evidence.allowed(mask).rows.tolist() == [2, 4]
    assert evidence.top(1).rows.tolist() == [2]


def test_newer_events_weigh_more_and_old_ones_fall_out() -> None:
    near = table([(0, 3, 1.0), (1, 4, 1.0), (2, 5, 1.0)])
    channel = ChannelSpec(name="cooccurrence", kind="neighbours", decay=0.5, depth=2)
    history = History.of([0, 1, 2], [1, 1, 1], [np.nan] * 3, [1.0, 2.0, 3.0])
    found = neighbour_evidence(near, channel, history)
    assert found.rows.tolist() == [5, 4]
    assert found.scores.tolist() == [1.0, 0.5]


def test_files_bring_back_the_same_table(tmp_path: Path) -> None:
    near = table([(0, 3, 1.0), (1, 4, 1.0)])
    near.save(tmp_path / "neighbours" / "cooccurrence")
    again = Neighbours.open(tmp_path / "neighbours" / "cooccurrence")
    assert again.of(1).rows.tolist() == [4]
    assert len(again) == 6
