"""How much of the true top list an index finds."""

import numpy as np
from numpy.typing import NDArray

from index.backends import ItemIndex, faiss

SAMPLE = 1_000  # queries measured
TOP = 100
CLOSE = 1e-5  # relative difference of two scores that only the order of summation made


def sampled(queries: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """At most SAMPLE of the queries, chosen by `seed`."""
    if len(queries) <= SAMPLE:
        return queries
    return queries[np.sort(np.random.default_rng(seed).choice(len(queries), SAMPLE, replace=False))]


def exact_cuts(vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Score of the k-th best of `vectors` [N, D] for each of `queries` [B, D], float32 [B]."""
    scores, _ = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
    cuts: NDArray[np.float32] = scores[:, -1]
    return cuts


def recall(
    index: ItemIndex,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    top: int = TOP,
    cuts: NDArray[np.float32] | None = None,
) -> float:
    """Mean share of the exact top list that the index finds, 1 for nothing to find.

    A hit is a row whose true score reaches the exact k-th score (`cuts`, when known already): among equal scores any
    choice is right. Scores are computed from `vectors`, so an index over other vectors does not pass.
    """
    k = min(top, len(vectors))
    if not k or not len(queries):
        return 1.0
    cuts = exact_cuts(vectors, queries, k) if cuts is None else cuts
    _, rows = index.search(queries, k)
    true = np.einsum("bkd,bd->bk", vectors[np.maximum(rows, 0)], queries)
    hits = (rows >= 0) & (true >= (cuts - CLOSE * np.maximum(np.abs(cuts), 1))[:, None])
    return float(hits.sum() / (len(queries) * k))
