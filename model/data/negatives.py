"""Sampled negatives: items that a user has nothing to do with."""

import numpy as np
from numpy.typing import NDArray

from model.ids import NO_ROW

TRIES = 8  # blind draws before the rest is drawn from what is left


def sample_negatives(
    users: NDArray[np.int64],
    seen: NDArray[np.int64],
    items: int,
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Uniform items for each of `users`, none of them among that user's own: int64 [len(users), count].

    `seen` are the known pairs as `pair_keys` writes them. The draws of one row may repeat; NO_ROW where a user has seen
    every item.
    """
    known = np.unique(seen)
    drawn = rng.integers(0, items, (len(users), count))
    for _ in range(TRIES):
        rows, columns = np.nonzero(_is_known(known, pair_keys(users[:, None], drawn, items)))
        if not len(rows):
            return drawn
        drawn[rows, columns] = rng.integers(0, items, len(rows))
    rows, columns = np.nonzero(_is_known(known, pair_keys(users[:, None], drawn, items)))
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        drawn[row, column] = _from_rest(known, int(users[row]), items, rng)
    return drawn


def pair_keys(users: NDArray[np.int64], rows: NDArray[np.int64], items: int) -> NDArray[np.int64]:
    """One number for each (user, item) pair."""
    keys: NDArray[np.int64] = users * items + rows
    return keys


def _is_known(known: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which keys are in the sorted `known`."""
    if not len(known):
        return np.zeros(keys.shape, bool)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
    return found


def _from_rest(known: NDArray[np.int64], user: int, items: int, rng: np.random.Generator) -> int:
    """One of the items that a user has not seen, NO_ROW when there is none."""
    mine = known[np.searchsorted(known, user * items) : np.searchsorted(known, (user + 1) * items)] - user * items
    rest = np.setdiff1d(np.arange(items), mine)
    return int(rng.choice(rest)) if len(rest) else NO_ROW
