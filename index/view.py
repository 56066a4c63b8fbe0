"""The catalogue as of one moment: what readers hold while the writer goes on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.backends import ItemIndex, Mask, open_index
from index.columns import AttributeColumn, open_columns
from index.delta import DeltaView
from index.filters import NumberColumn, Wanted, attribute_of, bounds, plain_values
from index.ids import CatalogueIds
from index.scenes import SceneRules, open_scenes, scenes_of
from index.search import search_allowed
from model.bundle import Bundle
from model.errors import RequestError
from model.features import kernels
from model.features.neighbours import Evidence
from model.features.records import ItemRecord
from model.features.spec import AttributeSpec
from model.ids import NO_ROW

OVERFETCH = 256  # up to so many unwanted base rows are fetched and dropped instead of handed to the index as a filter
Rows = NDArray[np.int64]


class Base:
    """What a bundle brings: memory-mapped arrays of its N items, its index, its filter columns."""

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        self.bundle = bundle
        self.vectors: NDArray[np.float32] = bundle.array("item_features/vectors.npy")
        self.attributes: NDArray[np.int32] = bundle.array("item_features/attributes.npy")
        self.text: NDArray[np.float16] = bundle.array("item_features/text.npy")
        self.index: ItemIndex = open_index(bundle.path / "items.faiss", self.vectors, device)

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def columns(self) -> Mapping[str, AttributeColumn]:
        """Filter columns by attribute name."""
        return open_columns(self.bundle)

    @cached_property
    def scenes(self) -> Mapping[str, SceneRules]:
        """The recipe's scenes by name."""
        return scenes_of(self.bundle)

    @cached_property
    def shown(self) -> Mapping[str, Mask]:
        """Which base rows each scene shows."""
        return open_scenes(self.bundle, self.scenes)

    def having(self, spec: AttributeSpec, wanted: Wanted) -> Mask:
        """Which base rows have one of the wanted values."""
        column = self.columns[spec.name]
        if isinstance(column, NumberColumn):
            return column.having(bounds(spec.name, wanted))
        return column.having(plain_values(spec.name, wanted), len(self))


@dataclass(frozen=True)
class View:
    """One state of the catalogue; immutable, so any number of threads may read it.

    slot int32 [rows]: place in the delta of a run-time or updated item, -1 for what stands as in the bundle. visible
    bool [rows]: neither hidden nor deleted. removed bool [rows]: deleted.
    """

    base: Base
    ids: CatalogueIds
    delta: DeltaView
    slot: NDArray[np.int32]
    visible: Mask
    removed: Mask

    def __len__(self) -> int:
        return len(self.slot)

    @cached_property
    def changed(self) -> Rows:
        """Rows whose content is in the delta, ascending."""
        return np.flatnonzero(self.slot >= 0)

    @cached_property
    def live(self) -> Mask:
        """Base rows that stand as in the bundle and are visible, bool [N]."""
        size = len(self.base)
        mask: Mask = self.visible[:size] & (self.slot[:size] < 0)
        return mask

    @cached_property
    def dead(self) -> Rows:
        """Base rows that are not live."""
        return np.flatnonzero(~self.live)

    def row(self, item_id: str) -> int:
        """Row of an id, deleted ones included; NO_ROW when the catalogue never had it."""
        row = self.ids.row(item_id)
        return row if row < len(self) else NO_ROW

    def rows(self, item_ids: Iterable[str]) -> Rows:
        """`row` of many ids, int64."""
        rows = np.asarray(self.ids.rows(item_ids), np.int64)
        if len(self.ids) == len(self):
            return rows
        return np.where(rows < len(self), rows, NO_ROW)  # another thread has added items that this view does not hold

    def id(self, row: int) -> str:
        """Id at a row."""
        return self.ids.id(row)

    def vectors(self, rows: Rows) -> NDArray[np.float32]:
        """Item vectors, float32 [len(rows), D]; IndexError for row -1."""
        return self._taken(rows, self.base.vectors, self.delta.vectors)

    def attributes(self, rows: Rows) -> NDArray[np.int32]:
        """Attribute ids, int32 [len(rows), A], 0-padded; IndexError for row -1."""
        return self._taken(rows, self.base.attributes, self.delta.attributes)

    def texts(self, rows: Rows) -> NDArray[np.float32]:
        """Text vectors, float32 [len(rows), text_dim], zero where an item has no text; IndexError for row -1."""
        return self._taken(rows, self.base.text, self.delta.text).astype(np.float32)

    def record(self, row: int) -> ItemRecord:
        """What was told of the item at `row`."""
        if row < 0:
            raise IndexError(f"row {row}: rows start at 0")
        slot = int(self.slot[row])
        return self.base.bundle.item_record(row) if slot < 0 else self.delta.records[slot]

    def filter_mask(self, include: Mapping[str, Wanted], exclude: Mapping[str, Wanted]) -> Mask:
        """Rows with one of the values of every included attribute and none of the excluded ones, bool [rows].

        Values are raw ones; numeric attributes take numbers and {"min", "max"} ranges. An item without the attribute is
        not included and not excluded. Raises RequestError for an unknown attribute or a value that cannot be.
        """
        mask = np.ones(len(self), np.bool_)
        for name, wanted in include.items():
            mask &= self._having(name, wanted)
        for name, wanted in exclude.items():
            mask &= ~self._having(name, wanted)
        return mask

    def scene_mask(self, name: str) -> Mask:
        """Rows that a scene shows, bool [rows]; raises RequestError for one that the recipe does not declare."""
        scene = self.base.scenes.get(name)
        if scene is None:
            known = ", ".join(self.base.scenes) or "none: the recipe declares no scenes"
            raise RequestError("scene", name, f"known scenes are {known}")
        mask = padded(self.base.shown[name], len(self)).copy()
        mask[self.changed] = [scene.shows(self.id(row), self.record(row)) for row in self.changed.tolist()]
        return mask

    def search(
        self, vector: NDArray[np.float32], k: int, allowed: Mask | None = None, excluded: Rows | None = None
    ) -> Evidence:
        """The k visible rows of highest inner product with `vector` [D], among `allowed` and without `excluded`.

        Full whenever so many rows are left; score descending, then row. `allowed` (bool, up to [rows]; rows beyond its
        end are not allowed) costs a filtered search, a short `excluded` only a few more hits.
        """
        mask = self.visible if allowed is None else self.visible & padded(allowed, len(self))
        excluded = np.empty(0, np.int64) if excluded is None else excluded
        return self._with_changed(
            self._search_base(vector, k, None if allowed is None else mask, excluded), vector, k, mask, excluded
        )

    def search_many(self, vectors: NDArray[np.float32], k: int, excluded: Sequence[Rows]) -> list[Evidence]:
        """`search` without a filter for each of `vectors` [B, D], its own rows excluded: one search for all."""
        extra = len(self.dead) + max(map(len, excluded), default=0)
        if extra > OVERFETCH:
            return [self.search(vector, k, None, rows) for vector, rows in zip(vectors, excluded, strict=True)]
        scores, rows = self.base.index.search(vectors, min(k + extra, len(self.base)))
        found = []
        for vector, score, row, out in zip(vectors, scores, rows, excluded, strict=True):
            mine = self._left(Evidence(row[row >= 0], score[row >= 0]), k, out)
            short = len(mine) < min(k, len(self.base) - extra)
            found.append(
                self.search(vector, k, None, out) if short else self._with_changed(mine, vector, k, self.visible, out)
            )
        return found

    def _left(self, found: Evidence, k: int, excluded: Rows) -> Evidence:
        """The k best base rows of what was found that are live and not excluded."""
        return Evidence.best(found.rows, found.scores, k, self.live if len(self.dead) else None, np.sort(excluded))

    def _with_changed(
        self, found: Evidence, vector: NDArray[np.float32], k: int, mask: Mask, excluded: Rows
    ) -> Evidence:
        """What the index found, with the run-time items that are near."""
        rows = self.changed[mask[self.changed]]
        if not len(rows):
            return found
        rows = rows[~np.isin(rows, excluded)]
        scores = self.delta.vectors.take(self.slot[rows], axis=0) @ vector
        return Evidence.best(np.concatenate([found.rows, rows]), np.concatenate([found.scores, scores]), k)

    def _search_base(self, vector: NDArray[np.float32], k: int, allowed: Mask | None, excluded: Rows) -> Evidence:
        index, vectors, size = self.base.index, self.base.vectors, len(self.base)
        extra = len(self.dead) + len(excluded)
        if allowed is None and extra <= OVERFETCH:
            found = search_allowed(index, vectors, vector, k + extra)
            return self._left(found, k, excluded)
        mask = self.live.copy() if allowed is None else self.live & allowed[:size]
        mask[excluded[(excluded >= 0) & (excluded < size)]] = False
        return search_allowed(index, vectors, vector, k, mask)

    def _taken(self, rows: Rows, base: NDArray[Any], delta: NDArray[Any]) -> NDArray[Any]:
        taken = np.empty((len(rows), base.shape[1]), base.dtype)
        if not len(delta):
            kernels.take(base, rows, taken)
            return taken
        if len(rows) and rows.min() < 0:
            raise IndexError(f"row {rows.min()}: rows start at 0")  # -1 would silently be the last item
        slots = self.slot.take(rows)
        fresh = slots >= 0
        kernels.take(base, np.where(fresh, 0, rows), taken)
        taken[fresh] = delta[slots[fresh]]
        return taken

    def _having(self, name: str, wanted: Wanted) -> Mask:
        spec = attribute_of(self.base.bundle.spec.attributes, name)
        mask = padded(self.base.having(spec, wanted), len(self))
        mask[self.changed] = self.delta.having(name, wanted)[self.slot[self.changed]]
        return mask


def padded(mask: Mask, size: int) -> Mask:
    """The mask with False for the rows behind its end, bool [size]; the mask itself when it is as long."""
    if len(mask) >= size:
        return mask[:size]
    return np.concatenate([mask, np.zeros(size - len(mask), np.bool_)])
