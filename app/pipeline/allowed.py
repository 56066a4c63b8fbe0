"""Which rows one answer may hold: visible, within the filter, not excluded and not seen."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.pipeline.request import RecommendRequest
from index.backends import Mask
from index.search import best
from index.view import View
from model.features.neighbours import Evidence
from model.ids import NO_ROW


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rule of one request over one view: mask bool [rows] (None: every visible row), excluded int64 sorted."""

    view: View
    mask: Mask | None
    excluded: NDArray[np.int64]

    def keep(self, offered: Evidence) -> Evidence:
        """Only the entries that may be answered, order kept."""
        good = self.having(offered.rows)
        return offered if good.all() else Evidence(offered.rows[good], offered.scores[good])

    def best(self, offered: Evidence, k: int) -> Evidence:
        """The k best entries that may be answered, of entries in any order; only as many are looked up as it takes."""
        few = best(offered.rows, offered.scores, k + len(self.excluded))
        kept = self.keep(few)
        if len(kept) < k and len(few) < len(offered):  # hidden, or outside of a filter
            kept = self.keep(offered)
            return best(kept.rows, kept.scores, k)
        return kept.top(k)

    def having(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` may be answered, bool [len(rows)]; a few rows are looked up, the catalogue is not walked."""
        good: NDArray[np.bool_] = (self.view.visible if self.mask is None else self.mask).take(rows)
        if len(self.excluded):
            good &= self.excluded.take(self.excluded.searchsorted(rows), mode="clip") != rows
        return good

    def rows(self) -> NDArray[np.int64]:
        """All rows that may be answered, ascending."""
        rows = np.flatnonzero(self.view.visible if self.mask is None else self.mask)
        return rows[self.having(rows)]

    def search(self, vector: NDArray[np.float32], k: int) -> Evidence:
        """The k allowed rows closest to `vector` [D]; full whenever so many are allowed."""
        return self.view.search(vector, k, self.mask, self.excluded)


def allowed_rows(view: View, request: RecommendRequest, seen: NDArray[np.int64], only: Mask | None = None) -> Allowed:
    """The rule of a request; `only` bool [rows] is `request.only_items` as a mask. Raises RequestError."""
    return Allowed(view, _mask(view, request, only), _excluded(view, request, seen))


def _excluded(view: View, request: RecommendRequest, seen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that are named or, if asked for, seen; ascending, each once, as `seen` is already."""
    if not request.exclude_items:
        return seen if request.exclude_seen else seen[:0]
    named = np.asarray([row for one in request.exclude_items if (row := view.row(one)) != NO_ROW], np.int64)
    return np.union1d(named, seen) if request.exclude_seen else np.unique(named)


def only_mask(view: View, item_ids: Collection[str]) -> Mask:
    """These items as bool [rows]; ids that the catalogue does not hold are ignored."""
    mask = np.zeros(len(view), np.bool_)
    mask[[row for one in item_ids if (row := view.row(one)) != NO_ROW]] = True
    return mask


def _mask(view: View, request: RecommendRequest, only: Mask | None) -> Mask | None:
    if not request.include and not request.exclude and only is None:
        return None
    mask: Mask = view.visible & view.filter_mask(request.include, request.exclude)
    return mask if only is None else mask & only
