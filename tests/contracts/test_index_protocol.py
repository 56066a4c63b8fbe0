"""What every vector index keeps to, whatever holds the vectors."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index.backends import FaissIndex, GpuIndex, ItemIndex, faiss
from index.search import search_allowed

ROWS, DIM = 400, 12
VECTORS = np.random.default_rng(3).standard_normal((ROWS, DIM)).astype(np.float32)
QUERIES = np.random.default_rng(4).standard_normal((5, DIM)).astype(np.float32)


class Card:
    """A stand-in for a FAISS index on a GPU: exact, without filters, padding with -1 as FAISS does."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors, self.ntotal = vectors, len(vectors)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        scores = queries @ self.vectors.T
        rows = np.argsort(-scores, axis=1)[:, :k]
        found = np.take_along_axis(scores, rows, axis=1)
        room = k - rows.shape[1]
        return np.pad(found, ((0, 0), (0, room)), constant_values=-np.inf), np.pad(
            rows, ((0, 0), (0, room)), constant_values=-1
        )


def flat() -> ItemIndex:
    index: Any = faiss.IndexFlatIP(DIM)
    index.add(VECTORS)
    return FaissIndex(index, VECTORS)


@cache
def lists() -> ItemIndex:
    index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, 8, faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    index.add(VECTORS)
    index.nprobe = 2
    return FaissIndex(index, VECTORS)


@cache
def codes() -> ItemIndex:
    index: Any = faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(DIM), DIM, 8, DIM, 4, faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    index.add(VECTORS)
    index.nprobe = 2
    return FaissIndex(index, VECTORS)


def card() -> ItemIndex:
    return GpuIndex(Card(VECTORS))


Make = Callable[[], ItemIndex]
each = pytest.mark.parametrize("make", [flat, lists, codes, card])
masks = pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])


def mask_of(share: float) -> NDArray[np.bool_]:
    return np.random.default_rng(5).random(ROWS) < share


@each
def test_it_knows_its_size(make: Make) -> None:
    assert len(make()) == ROWS


@each
@masks
def test_what_it_finds_is_allowed_true_and_in_order(make: Make, share: float) -> None:
    allowed = mask_of(share)
    scores, rows = make().search(QUERIES, 20, allowed)
    assert scores.shape == rows.shape == (5, 20)
    for query, found, places in zip(QUERIES, scores, rows, strict=True):
        real = places[places >= 0]
        assert allowed[real].all()
        assert len(set(real.tolist())) == len(real)
        np.testing.assert_allclose(found[places >= 0], VECTORS[real] @ query, rtol=1e-4, atol=1e-5)
        assert (np.diff(found[: len(real)]) <= 1e-6).all()
        assert (places[len(real) :] == -1).all()


@each
@masks
@pytest.mark.parametrize("k", [1, 20, 399, 400, 1000])
def test_a_search_over_it_is_full_and_within_the_allowed(make: Make, share: float, k: int) -> None:
    allowed = mask_of(share)
    found = search_allowed(make(), VECTORS, QUERIES[0], k, allowed)
    assert len(found) == min(k, np.count_nonzero(allowed))
    assert (found.rows >= 0).all()
    assert allowed[found.rows].all()


@each
def test_more_than_there_is_gives_all_there_is(make: Make) -> None:
    found = search_allowed(make(), VECTORS, QUERIES[0], 10 * ROWS)
    assert sorted(found.rows.tolist()) == list(range(ROWS))


@pytest.mark.parametrize("make", [flat, card])
def test_an_exact_one_equals_brute_force(make: Make) -> None:
    _, rows = make().search(QUERIES, 50)
    assert (rows == np.argsort(-(QUERIES @ VECTORS.T), axis=1)[:, :50]).all()


@pytest.mark.parametrize("make", [lists, codes])
def test_lists_are_probed_the_more_the_fewer_rows_are_allowed(make: Make) -> None:
    """With 2 of 8 lists probed a tenth of the rows could not fill a list of 30; with all of them it can."""
    allowed = mask_of(0.1)
    _, rows = make().search(QUERIES[:1], 30, allowed)
    assert np.count_nonzero(rows >= 0) == min(30, np.count_nonzero(allowed))
