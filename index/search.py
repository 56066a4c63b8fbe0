"""Search that is full whenever it can be: an index first, exact scores over the allowed rows where it falls short."""

import numpy as np
from numpy.typing import NDArray

from index.backends import ItemIndex, Mask
from model.features.neighbours import Evidence

EXACT_ROWS = 4096  # up to so many allowed rows are scored one by one: cheaper than probing most of the lists


def exact(vectors: NDArray[np.float32], query: NDArray[np.float32], k: int, rows: NDArray[np.int64]) -> Evidence:
    """The k of `rows` whose vectors [N, D] have the highest inner product with `query` [D], best first."""
    scores = vectors.take(rows, axis=0) @ query
    return Evidence.best(rows, scores, k)


def search_allowed(
    index: ItemIndex, vectors: NDArray[np.float32], query: NDArray[np.float32], k: int, allowed: Mask | None = None
) -> Evidence:
    """The k best rows of an index over `vectors` [N, D] among `allowed` (bool [N], None: all).

    As many as there are when fewer than k are allowed; never a row that is not allowed, never -1.
    """
    count = len(index) if allowed is None else int(np.count_nonzero(allowed))
    wanted = min(k, count)
    if not wanted:
        return Evidence.empty()
    if allowed is None or count > EXACT_ROWS:
        scores, rows = index.search(query[None], wanted, allowed)
        # FAISS pads the end of a list with -1, and row -1 would be the last item; a card's lists are of limited length.
        if rows.shape[1] >= wanted and rows[0, wanted - 1] >= 0:
            return Evidence.best(rows[0, :wanted], scores[0, :wanted], wanted)
    rows = np.arange(len(index)) if allowed is None else np.flatnonzero(allowed)
    return exact(vectors, query, wanted, rows)
