"""The gate's measure: known shares, ties either way, padding never a hit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from index.backends import Hits, Mask
from index.recall import SAMPLE, exact_cuts, recall, sampled


class Fixed:
    """An index that answers the same rows to everybody."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = np.asarray([rows])

    def __len__(self) -> int:
        return 10

    def search(self, queries: NDArray[np.float32], k: int, allowed: Mask | None = None) -> Hits:
        rows = self.rows.repeat(len(queries), axis=0)
        return np.zeros(rows.shape, np.float32), rows


LINE = np.arange(10, dtype=np.float32)[:, None]
QUERIES = np.ones((3, 1), np.float32)


@pytest.mark.parametrize(
    ("rows", "share"), [([9, 8, 7, 6], 1.0), ([9, 8, 0, 1], 0.5), ([-1, -1, -1, -1], 0.0), ([9, -1, -1, -1], 0.25)]
)
def test_recall_is_the_share_of_the_true_top(rows: list[int], share: float) -> None:
    assert recall(Fixed(rows), LINE, QUERIES, top=4) == share


def test_among_equal_scores_any_row_is_right() -> None:
    assert recall(Fixed([0, 5]), np.ones((10, 1), np.float32), QUERIES, top=2) == 1.0


def test_an_index_of_other_vectors_does_not_pass() -> None:
    assert recall(Fixed([9, 8]), -LINE, QUERIES, top=2) == 0.0


def test_nothing_to_find_is_found() -> None:
    assert recall(Fixed([0]), LINE[:0], QUERIES) == recall(Fixed([0]), LINE, QUERIES[:0]) == 1.0


def test_cuts_are_kth_best_scores() -> None:
    assert exact_cuts(LINE, QUERIES, 3).tolist() == [7, 7, 7]


def test_a_sample_is_drawn_by_its_seed() -> None:
    queries = np.arange(3 * SAMPLE, dtype=np.float32)[:, None]
    assert (sampled(queries) == sampled(queries)).all()
    assert len(np.unique(sampled(queries))) == SAMPLE
    assert (sampled(queries) != sampled(queries, seed=1)).any()
    assert sampled(queries[:5]) is not None
    assert len(sampled(queries[:5])) == 5
