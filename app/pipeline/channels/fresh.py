"""Fresh items: added at run time or first seen lately, those closest to the user first."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.pipeline.channels.base import ChannelRequest
from index.view import View
from model.features.counters import ItemCounters
from model.features.neighbours import Evidence

POOL_MOST = 1_000  # newest items that are compared with the user


class Freshness:
    """Which items are fresh: added at run time, or first seen within `window` seconds of the newest event."""

    def __init__(self, counters: ItemCounters, items: int, window: float) -> None:
        self._counters, self._items, self._window = counters, items, window
        known = np.flatnonzero(np.isfinite(counters.first[:items]))
        newest = known[np.argsort(-counters.first[known], kind="stable")][:POOL_MOST]
        self._met: list[int] = newest[::-1].tolist()  # oldest first
        self._recent, self._as_of = np.empty(0, np.int64), np.nan
        self._read: tuple[View, NDArray[np.int64], NDArray[np.float32]] | None = None

    def met(self, row: int) -> None:
        """`row` has its first event now."""
        if row < self._items:
            self._met.append(row)
            del self._met[:-POOL_MOST]
            self._as_of = np.nan

    def recent(self) -> NDArray[np.int64]:
        """Rows of the bundle that were first seen within the window, ascending, at most POOL_MOST."""
        if self._as_of != self._counters.total_newest:  # nothing changes while the newest event stays
            self._as_of = self._counters.total_newest
            met = np.asarray(self._met, np.int64)
            self._recent = np.unique(met[self._counters.first[met] >= self._as_of - self._window])
        return self._recent

    def recent_vectors(self, view: View) -> NDArray[np.float32]:
        """Vectors of `recent`, float32 [n, D]; read again only when items or view have changed."""
        rows = self.recent()
        if self._read is None or self._read[0] is not view or self._read[1] is not rows:
            self._read = view, rows, view.vectors(rows)
        return self._read[2]

    def added(self, size: int) -> NDArray[np.int64]:
        """The newest rows of a catalogue of `size` rows that no bundle knows, ascending, at most POOL_MOST."""
        return np.arange(max(self._items, size - POOL_MOST), size)


@dataclass(frozen=True, slots=True)
class FreshChannel:
    """The fresh items closest to the user vector."""

    freshness: Freshness
    size: int = 50
    name: str = field(default="fresh", init=False)

    def offer(self, request: ChannelRequest) -> Evidence:
        """Inner products over a few rows; items added at run time have half the list to themselves if they need it."""
        view, rows = request.allowed.view, self.freshness.added(len(request.allowed.view))
        recent = _closest(request, self.freshness.recent(), self.freshness.recent_vectors(view), self.size)
        if not len(rows):  # the usual case: nothing was added at run time
            return recent
        added = _closest(request, rows, view.vectors(rows), self.size)
        kept = added.top(max(self.size // 2, self.size - len(recent)))
        recent = recent.top(self.size - len(kept))
        return Evidence.ranked(np.concatenate([kept.rows, recent.rows]), np.concatenate([kept.scores, recent.scores]))


def _closest(request: ChannelRequest, rows: NDArray[np.int64], vectors: NDArray[np.float32], size: int) -> Evidence:
    return request.allowed.best(Evidence(rows, vectors @ request.vector), size)
