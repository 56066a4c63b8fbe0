"""Other views of a history that should still tell the same user: crop, mask, reorder (CL4SRec, Xie et al. 2022)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from model.train.moments import PAD, Windows

View = Callable[[int, np.random.Generator], NDArray[np.int64]]
GONE = -1  # an event that a view hides, its place kept
CROPPED, HIDDEN, SHUFFLED = 0.6, 0.3, 0.6  # share of a history that is kept, hidden or shuffled


def cropped(count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """A run of a history's events; which of `count` events stand there, oldest first."""
    start, end = _run(count, CROPPED, generator)
    return np.arange(start, end)


def masked(count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """All events with some hidden (GONE), never all of them."""
    places = np.arange(count)
    hidden = generator.random(count) < HIDDEN
    hidden[generator.integers(count)] = False
    return np.where(hidden, GONE, places)


def reordered(count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """All events, those of one run shuffled."""
    start, end = _run(count, SHUFFLED, generator)
    places = np.arange(count)
    places[start:end] = generator.permutation(places[start:end])
    return places


VIEWS: tuple[View, ...] = (cropped, masked, reordered)


def random_view(windows: Windows, generator: np.random.Generator) -> Windows:
    """Each history under one of the views, drawn at random; those of fewer than two events stay as they are."""
    length = windows.rows.shape[1]
    order = np.full(windows.rows.shape, GONE)
    for row, count in enumerate((windows.rows != PAD).sum(1).tolist()):
        view = VIEWS[int(generator.integers(len(VIEWS)))]
        kept = view(count, generator) if count > 1 else np.arange(count)
        order[row, length - len(kept) :] = np.where(kept == GONE, GONE, kept + length - count)
    return rearranged(windows, order)


def rearranged(windows: Windows, order: NDArray[np.int64]) -> Windows:
    """Events of each window at other places; `order` int64 [S, L] says which stand where, GONE is padding."""

    def moved(values: NDArray[np.int64], padding: int) -> NDArray[np.int64]:
        return np.where(order == GONE, padding, np.take_along_axis(values, np.maximum(order, 0), axis=1))

    values = np.take_along_axis(windows.values, np.maximum(order, 0), axis=1)
    values = np.where(order == GONE, np.float32(0.0), values)
    return Windows(moved(windows.rows, PAD), moved(windows.types, 0), values, moved(windows.gaps, 0))


def _run(count: int, share: float, generator: np.random.Generator) -> tuple[int, int]:
    """Start and end of a random run of `share` of `count` events, one at least."""
    size = max(round(count * share), 1)
    start = int(generator.integers(count - size + 1))
    return start, start + size
