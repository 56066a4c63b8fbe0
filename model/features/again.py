"""What a user had, offered once more: for requests that keep seen items, and for lists of what is done again."""

import numpy as np
from numpy.typing import NDArray

from model.features.neighbours import Evidence

AGAIN = 100  # items that a user had and may want again


def once_more(had: NDArray[np.int64]) -> Evidence:
    """The newest AGAIN of what a user had (rows int64 [L], oldest first), each once."""
    rows, place = np.unique(had[::-1], return_index=True)
    newest = rows[np.argsort(place)][:AGAIN]
    return Evidence(newest, -np.arange(len(newest), dtype=np.float32))
