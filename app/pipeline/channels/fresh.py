"""Fresh items: added at run time or first seen lately, those closest to the user first."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.pipeline.channels.base import ChannelRequest
from index.search import best
from model.features.counters import ItemCounters
from model.features.neighbours import Evidence

POOL_MOST = 1_000  # newest items that are compared with the user


class Freshness:
    """Which items are fresh: added at run time, or first seen within `window` seconds of the newest event."""

    def __init__(self, counters: ItemCounters, items: int, window: float) -> None:
        self._counters, self._items, self._window = counters, items, window
        known = np.flatnonzero(np.isfinite(counters.first[:items]))
        newest = known[np.argsort(-counters.first[known], kind="stable")][:POOL_MOST]
        self._recent: list[int] = newest[::-1].tolist()  # oldest first

    def met(self, row: int) -> None:
        """`row` has its first event now."""
        self._recent.append(row)
        del self._recent[:-POOL_MOST]

    def rows(self, size: int) -> NDArray[np.int64]:
        """Fresh rows of a catalogue of `size` rows, ascending, at most POOL_MOST of each kind."""
        recent = np.asarray(self._recent, np.int64)
        recent = recent[self._counters.first[recent] >= self._counters.total_newest - self._window]
        added = np.arange(max(self._items, size - POOL_MOST), size)
        return np.union1d(recent, added) if len(added) else np.sort(recent)


@dataclass(frozen=True, slots=True)
class FreshChannel:
    """The fresh items closest to the user vector."""

    freshness: Freshness
    size: int = 50
    name: str = field(default="fresh", init=False)

    def offer(self, request: ChannelRequest) -> Evidence:
        """Inner products over a few rows; no index is needed."""
        view = request.allowed.view
        rows = self.freshness.rows(len(view))
        rows = rows[request.allowed.having(rows)]
        return best(rows, view.vectors(rows) @ request.vector, self.size)
