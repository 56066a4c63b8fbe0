"""Popular items by context: the bundle's lists, kept in order by the live counters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.pipeline.channels.base import ChannelRequest
from model.features.counters import ItemCounters
from model.features.neighbours import Evidence
from model.features.ranking import RANK_OFFSET
from model.ids import NO_ROW

REFRESH_S = 0.2  # how stale the order may be: the stream is followed within a second
CONTEXTS_MOST = 256  # combinations of context values whose order is kept until the pool changes
LIVE_MOST = 2_000  # rows met in the stream that are kept beside the bundle's lists


class Popularity:
    """Which items are popular now: mean of an item's log shares over event types and windows (ItemCounters.shares).

    The pool is what the bundle lists as popular, overall or in some context, and the newest items of the stream. A
    context value moves the items of its list up, by at most one unit of log share.
    """

    def __init__(
        self,
        counters: ItemCounters,
        fallbacks: Mapping[str, Any],
        row_of: Callable[[str], int],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._counters, self._clock = counters, clock
        self._lists = {
            (column, value): _known(row_of, ids)
            for column, lists in fallbacks.get("by_context", {}).items()
            for value, ids in lists.items()
        }
        listed = [_known(row_of, fallbacks.get("popular", ())), *self._lists.values()]
        self._base = np.unique(np.concatenate(listed))
        self._live: dict[int, None] = {}
        self._dirty, self._made = False, clock()
        self._pool = self._ranked()
        self._made_for: dict[tuple[tuple[str, str], ...], tuple[Evidence, Evidence]] = {}  # pool, and as of a context

    def touch(self, row: int) -> None:
        """The counters of `row` have changed."""
        self._live.pop(row, None)
        self._live[row] = None
        if len(self._live) > LIVE_MOST:
            del self._live[next(iter(self._live))]
        self._dirty = True

    def evidence(self, context: Mapping[str, str]) -> Evidence:
        """The whole pool in this context, in order of row: callers filter it, then cut it."""
        self._refresh()
        key = tuple(one for one in context.items() if one in self._lists)
        pool, kept = self._pool, self._made_for.get(key)
        if kept is not None and kept[0] is pool:
            return kept[1]
        if len(self._made_for) >= CONTEXTS_MOST:
            self._made_for.clear()
        made = _moved(pool, [self._lists[one] for one in key])
        self._made_for[key] = pool, made  # with its pool, since two threads may ask while the pool changes
        return made

    def _refresh(self) -> None:
        if self._dirty and self._clock() - self._made >= REFRESH_S:
            self._pool, self._dirty, self._made = self._ranked(), False, self._clock()

    def _ranked(self) -> Evidence:
        rows = np.union1d(self._base, np.fromiter(self._live, np.int64, len(self._live)))
        return Evidence(rows, self._counters.shares(rows).mean(axis=1))


@dataclass(frozen=True, slots=True)
class PopularChannel:
    """What is popular now in the request's context."""

    popularity: Popularity
    size: int = 100
    name: str = field(default="popular", init=False)

    def offer(self, request: ChannelRequest) -> Evidence:
        """The most popular allowed items of the pool."""
        return request.allowed.best(self.popularity.evidence(request.context), self.size)


def _moved(pool: Evidence, lists: Sequence[NDArray[np.int64]]) -> Evidence:
    """The pool with the items of some contexts' lists moved up."""
    if not lists:
        return pool
    scores = pool.scores.copy()
    for rows in lists:
        scores[np.searchsorted(pool.rows, rows)] += RANK_OFFSET / (RANK_OFFSET + np.arange(len(rows)))
    return Evidence(pool.rows, scores)


def _known(row_of: Callable[[str], int], item_ids: Sequence[str]) -> NDArray[np.int64]:
    return np.asarray([row for one in item_ids if (row := row_of(one)) != NO_ROW], np.int64)
