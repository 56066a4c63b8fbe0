"""Which rows one answer may hold: visible, within the filter, not excluded and not seen."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.pipeline.request import RecommendRequest
from index.backends import Mask
from index.view import View
from model.features.neighbours import Evidence
from model.ids import NO_ROW


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rule of one request over one view: mask bool [rows] (None: every visible row), excluded int64 sorted."""

    view: View
    mask: Mask | None
    excluded: NDArray[np.int64]

    @property
    def rule(self) -> tuple[Mask, NDArray[np.int64]]:
        """The mask that holds and the excluded rows, as `Evidence.best` and `Neighbours.best` take them."""
        return self.view.visible if self.mask is None else self.mask, self.excluded

    def without(self, rows: NDArray[np.int64]) -> "Allowed":
        """The rule without some more rows (int64, ascending)."""
        return replace(self, excluded=np.union1d(self.excluded, rows))

    def best(self, offered: Evidence, k: int) -> Evidence:
        """The k best entries that may be answered, of entries in any order."""
        return Evidence.best(offered.rows, offered.scores, k, *self.rule)

    def rows(self) -> NDArray[np.int64]:
        """All rows that may be answered, ascending."""
        mask, excluded = self.rule
        return np.setdiff1d(np.flatnonzero(mask), excluded, assume_unique=True)

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
    if not request.include and not request.exclude and only is None and request.scene is None:
        return None
    mask: Mask = view.visible & view.filter_mask(request.include, request.exclude)
    if request.scene is not None:
        mask &= view.scene_mask(request.scene)
    return mask if only is None else mask & only
