"""Exact search, and the fallback where an index finds too little."""

import numpy as np
import pytest
from numpy.typing import NDArray

from index.backends import Hits, Mask
from index.search import EXACT_ROWS, exact, search_allowed
from model.features.neighbours import Evidence


class Lazy:
    """An index that finds only row 0 and pads with -1, as FAISS does."""

    def __init__(self, rows: int) -> None:
        self.rows, self.asked = rows, 0

    def __len__(self) -> int:
        return self.rows

    def search(self, queries: NDArray[np.float32], k: int, allowed: Mask | None = None) -> Hits:
        self.asked += 1
        rows = np.full((len(queries), k), -1)
        rows[:, 0] = 0
        return np.where(rows < 0, -np.inf, 9.0).astype(np.float32), rows


def line(rows: int) -> NDArray[np.float32]:
    """Vectors [rows, 1]: row r scores r."""
    return np.arange(rows, dtype=np.float32)[:, None]


ONE = np.ones(1, np.float32)


def test_what_an_index_misses_is_made_good() -> None:
    found = search_allowed(Lazy(10), line(10), ONE, 3)
    assert (found.rows.tolist(), found.scores.tolist()) == ([9, 8, 7], [9, 8, 7])


def test_few_allowed_rows_do_not_ask_the_index() -> None:
    index = Lazy(100)
    allowed = np.zeros(100, np.bool_)
    allowed[[4, 2]] = True
    assert search_allowed(index, line(100), ONE, 3, allowed).rows.tolist() == [4, 2]
    assert index.asked == 0


def test_many_allowed_rows_ask_the_index_first() -> None:
    index = Lazy(EXACT_ROWS + 2)
    allowed = np.ones(len(index), np.bool_)
    allowed[-1] = False
    assert search_allowed(index, line(len(index)), ONE, 1, allowed).rows.tolist() == [0]
    assert search_allowed(index, line(len(index)), ONE, 2, allowed).rows.tolist() == [EXACT_ROWS, EXACT_ROWS - 1]
    assert index.asked == 2


@pytest.mark.parametrize(("k", "allowed"), [(0, None), (5, np.zeros(10, np.bool_))])
def test_nothing_to_find_is_empty(k: int, allowed: Mask | None) -> None:
    assert len(search_allowed(Lazy(10), line(10), ONE, k, allowed)) == 0


def test_ties_are_cut_by_row() -> None:
    found = Evidence.best(np.asarray([7, 3, 5, 1]), np.asarray([1, 1, 2, 1], np.float32), 3)
    assert found.rows.tolist() == [5, 1, 3]
    assert len(Evidence.best(found.rows, found.scores, 0)) == 0


def test_exact_reads_only_the_rows_asked() -> None:
    assert exact(line(9), ONE, 5, np.asarray([2, 8, 4])).rows.tolist() == [8, 4, 2]
