"""Items like an item: half how near their vectors are, half how near their texts are.

Item vectors hold who liked what; a text-only newcomer has no such past, and its text alone has to bring it next to its
kin. Texts are compared as the text encoder sees them, where a sequel lies beside the film it follows.
"""

import numpy as np
from numpy.typing import NDArray

from index.backends import Mask
from index.view import Rows, View, padded
from model.features.neighbours import Evidence

ALL_ROWS = 20_000  # up to so many items all are compared, beyond it the nearest by item vector and all newcomers
CANDIDATES = 1_000


def similar(view: View, row: int, k: int, allowed: Mask | None = None) -> Evidence:
    """The k visible items most like the one at `row`, itself left out; scores in [-1, 1], best first."""
    rows = _candidates(view, row, k, allowed)
    return Evidence.best(rows, _likeness(view, row, rows), k)


def cosines(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine of each of `vectors` [M, D] with `query` [D], float32 [M]; 0 where either is a zero vector."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return np.asarray((vectors @ query) / np.where(lengths > 0, lengths, 1), np.float32)


def _candidates(view: View, row: int, k: int, allowed: Mask | None) -> Rows:
    mask = view.visible.copy() if allowed is None else view.visible & padded(allowed, len(view))
    mask[row] = False
    if len(view) <= ALL_ROWS:
        return np.flatnonzero(mask)
    query = view.vectors(np.asarray([row]))[0]
    near = view.search(query / max(float(np.linalg.norm(query)), 1e-9), max(k, CANDIDATES), mask).rows
    return np.union1d(near, view.changed[mask[view.changed]])


def _likeness(view: View, row: int, rows: Rows) -> NDArray[np.float32]:
    one = np.asarray([row])
    by_vector = cosines(view.vectors(rows), view.vectors(one)[0])
    text = view.texts(one)[0]
    return np.float32(0.5) * (by_vector + cosines(view.texts(rows), text)) if text.any() else by_vector
