"""The order of the list: by score, or score against variety (maximal marginal relevance)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from model.features.ranking import ItemTable

Similarity = NDArray[np.float32]  # [C, C], in [0, 1]


def by_score(scores: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Places of the n best candidates, which stand in order of row: score descending, then row; int64."""
    if not 0 < n < len(scores):
        return np.argsort(-scores, kind="stable")[:n]
    least = np.partition(scores, len(scores) - n)[len(scores) - n]
    (good,) = (scores >= least).nonzero()
    return np.asarray(good[np.argsort(-scores[good], kind="stable")][:n], np.int64)


def reordered(
    rows: NDArray[np.int64],
    scores: NDArray[np.float64],
    n: int,
    diversity: float,
    similarity: Callable[[NDArray[np.int64]], Similarity],
) -> NDArray[np.int64]:
    """Places of the n chosen candidates, in order; `rows` ascend; at `diversity` 0 exactly by score.

    `similarity` is asked only when it is needed, for rows in order of score.
    """
    if diversity == 0:
        return by_score(scores, n)
    order = by_score(scores, len(scores))
    return order[mmr(scores[order], similarity(rows[order]), n, diversity)]


def mmr(scores: NDArray[np.float64], similar: Similarity, n: int, diversity: float) -> NDArray[np.int64]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998) over candidates in order of score; n places.

    Each pick has the highest (1 - diversity) · score, brought to [0, 1], - diversity · similarity to the nearest pick;
    ties go to the higher score.
    """
    spread = scores.max() - scores.min() if len(scores) else 0.0
    worth = (1 - diversity) * (scores - scores.min(initial=np.inf)) / (spread or 1.0)
    nearest, chosen = np.zeros(len(scores)), np.empty(min(n, len(scores)), np.int64)
    for step in range(len(chosen)):
        chosen[step] = pick = int(np.argmax(worth - diversity * nearest))
        np.maximum(nearest, similar[pick], out=nearest)
        worth[pick] = -np.inf
    return chosen


def item_similarity(items: ItemTable, rows: NDArray[np.int64]) -> Similarity:
    """How alike items are: cosine of their vectors (below 0 counts as 0), averaged with the overlap of attributes."""
    vectors = items.vectors(rows)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosine: Similarity = np.clip(unit @ unit.T, 0.0, 1.0)
    ids = items.attributes(rows)
    return np.float32(0.5) * (cosine + _overlap(ids)) if ids.any() else cosine


def _overlap(ids: NDArray[np.int32]) -> Similarity:
    """Jaccard index of sets of attribute ids [C, A], 0 is padding; float32 [C, C], 0 where both sets are empty."""
    known, compact = np.unique(ids, return_inverse=True)
    member = np.zeros((len(ids), len(known)), np.float32)
    np.put_along_axis(member, compact.reshape(ids.shape), 1.0, axis=1)
    member[:, known == 0] = 0.0
    both, size = member @ member.T, member.sum(axis=1)
    overlap: Similarity = both / np.maximum(size[:, None] + size[None, :] - both, 1.0)
    return overlap
