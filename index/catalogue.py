"""The live catalogue: a bundle's items and what was put, hidden and deleted since, without a rebuild.

One writer, many readers: every change makes a new `View`, and readers keep the one they began with. Rows: 0…N-1 are the
bundle's items, an updated one keeps its row; items added at run time get the next rows of this process.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index.backends import Mask
from index.delta import Delta
from index.filters import Wanted
from index.ids import CatalogueIds
from index.similar import similar
from index.view import Base, Rows, View
from model.bundle import Bundle
from model.errors import RequestError
from model.features.neighbours import Evidence
from model.features.records import ItemRecord
from model.features.spec import FeatureSpec
from model.ids import NO_ROW, check_id


@dataclass(frozen=True, slots=True)
class Put:
    """An item's new content, encoded: vector f32 [D], attribute_ids i32 [A], text_vector f32 [text_dim]."""

    item_id: str
    record: ItemRecord
    vector: NDArray[np.float32]
    attribute_ids: NDArray[np.int32]
    text_vector: NDArray[np.float32]
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Hide:
    """Hide an item, or show it again."""

    item_id: str
    hidden: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an item; a later Put revives it on its row."""

    item_id: str


Change = Put | Hide | Delete


class LiveCatalogue:
    """A bundle's catalogue with its run-time changes; also an ItemTable of the newest view."""

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        base, size = Base(bundle, device), len(bundle.items)
        self._lock = threading.Lock()
        self._delta = Delta(bundle.spec)
        ids = CatalogueIds(bundle.items)
        nothing = np.full(size, NO_ROW, np.int32)
        self._view = View(base, ids, self._delta.view(), nothing, np.ones(size, np.bool_), np.zeros(size, np.bool_))

    @property
    def view(self) -> View:
        """The catalogue as of now; hold it for as long as rows and masks must agree with each other."""
        return self._view

    def apply(self, changes: Sequence[Change]) -> list[int]:
        """Make changes in their order, seen by readers all at once; returns rows, NO_ROW for ids never put."""
        for change in changes:
            check_change(self._view.base.bundle.spec, change)
        with self._lock:
            draft = _Draft(self._view, self._delta, changes)
            rows = [draft.make(change) for change in changes]
            self._view = draft.view()
        return rows

    def put(
        self,
        item_id: str,
        record: ItemRecord,
        vector: NDArray[np.float32],
        attribute_ids: NDArray[np.int32],
        text_vector: NDArray[np.float32],
        hidden: bool = False,
    ) -> int:
        """Add an item, or replace one on its row; returns the row."""
        return self.apply([Put(item_id, record, vector, attribute_ids, text_vector, hidden)])[0]

    def hide(self, item_id: str, hidden: bool = True) -> bool:
        """Hide an item or show it again; False when the catalogue never had it."""
        return self.apply([Hide(item_id, hidden)])[0] != NO_ROW

    def delete(self, item_id: str) -> bool:
        """Delete an item; False when the catalogue never had it."""
        return self.apply([Delete(item_id)])[0] != NO_ROW

    def __len__(self) -> int:
        return len(self._view)

    @property
    def visible(self) -> Mask:
        """Rows that may be answered, bool [rows]; read-only."""
        return self._view.visible

    def row(self, item_id: str) -> int:
        """Row of an id, deleted ones included; NO_ROW when the catalogue never had it."""
        return self._view.row(item_id)

    def id(self, row: int) -> str:
        """Id at a row."""
        return self._view.id(row)

    def vectors(self, rows: Rows) -> NDArray[np.float32]:
        """Item vectors, float32 [len(rows), D]."""
        return self._view.vectors(rows)

    def attributes(self, rows: Rows) -> NDArray[np.int32]:
        """Attribute ids, int32 [len(rows), A], 0-padded."""
        return self._view.attributes(rows)

    def record(self, row: int) -> ItemRecord:
        """What was told of the item at `row`."""
        return self._view.record(row)

    def filter_mask(self, include: Mapping[str, Wanted], exclude: Mapping[str, Wanted]) -> Mask:
        """As View.filter_mask, of the newest view."""
        return self._view.filter_mask(include, exclude)

    def search(
        self, vector: NDArray[np.float32], k: int, allowed: Mask | None = None, excluded: Rows | None = None
    ) -> Evidence:
        """As View.search, in the newest view."""
        return self._view.search(vector, k, allowed, excluded)

    def similar(self, row: int, k: int, allowed: Mask | None = None) -> Evidence:
        """As index.similar.similar, in the newest view."""
        return similar(self._view, row, k, allowed)


class _Draft:
    """The next view while changes are being made; arrays are copies, views that readers hold stay as they are."""

    def __init__(self, view: View, delta: Delta, changes: Sequence[Change]) -> None:
        self._view, self._delta, size = view, delta, len(view)
        rows = size + len({one.item_id for one in changes if isinstance(one, Put) and one.item_id not in view.ids})
        self._slot = np.full(rows, NO_ROW, np.int32)
        self._visible, self._removed = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
        self._slot[:size], self._visible[:size], self._removed[:size] = view.slot, view.visible, view.removed

    def make(self, change: Change) -> int:
        """Make one change; returns the row, NO_ROW for an id never put."""
        if isinstance(change, Put):
            return self._put(change)
        row = self._view.ids.row(change.item_id)
        if row == NO_ROW:
            return NO_ROW
        if isinstance(change, Delete):
            self._removed[row] = True
        self._visible[row] = isinstance(change, Hide) and not change.hidden and not self._removed[row]
        return row

    def view(self) -> View:
        """The finished view."""
        for array in (self._slot, self._visible, self._removed):
            array.flags.writeable = False
        return replace(
            self._view, delta=self._delta.view(), slot=self._slot, visible=self._visible, removed=self._removed
        )

    def _put(self, put: Put) -> int:
        row = self._view.ids.add(put.item_id)
        self._slot[row] = self._delta.append(put.record, put.vector, put.attribute_ids, put.text_vector)
        self._visible[row], self._removed[row] = not put.hidden, False
        return row


def check_change(spec: FeatureSpec, change: Change) -> None:
    """Refuse what would leave a half-made change behind or poison every search; raises IdError or RequestError."""
    check_id(change.item_id, "item id")
    if not isinstance(change, Put):
        return
    for name, array, width in (
        ("vector", change.vector, spec.dim),
        ("attribute_ids", change.attribute_ids, spec.max_attributes),
        ("text_vector", change.text_vector, spec.text_dim),
    ):
        if array.shape != (width,) or not np.isfinite(array).all():
            raise RequestError(f"{name} of item {change.item_id}", array, f"encode it: {width} finite numbers")
