"""What was put at run time: columns that only grow, so that a reader's older view of them stays true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.filters import NumberColumn, Wanted, bounds, number_of, plain_values, values_of
from model.features.records import ItemRecord
from model.features.spec import FeatureSpec

ROOM = 16  # slots at first; doubled when full


class Column:
    """A growing array: appending never touches what an older view shows."""

    def __init__(self, width: tuple[int, ...], dtype: Any) -> None:
        self._data = np.zeros((ROOM, *width), dtype)
        self.size = 0

    def append(self, value: object) -> None:
        """Add one entry."""
        if self.size == len(self._data):
            self._data = np.concatenate([self._data, np.zeros_like(self._data)])
        self._data[self.size] = value
        self.size += 1

    def view(self) -> NDArray[Any]:
        """All entries so far, read-only."""
        shown = self._data[: self.size]
        shown.flags.writeable = False
        return shown


@dataclass(frozen=True, slots=True)
class DeltaView:
    """The slots as of one moment: vectors f32 [M, D], attributes i32 [M, A], text f32 [M, text_dim], and raw values.

    `values` int32 [V] are codes of (attribute, value) pairs and `owners` int32 [V] the slots that have them;
    `numbers` float64 [M, Q], one column a numeric attribute.
    """

    vectors: NDArray[np.float32]
    attributes: NDArray[np.int32]
    text: NDArray[np.float32]
    numbers: NDArray[np.float64]
    values: NDArray[np.int32]
    owners: NDArray[np.int32]
    records: Sequence[ItemRecord]
    codes: Mapping[tuple[str, str], int]
    numeric: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.vectors)

    def having(self, name: str, wanted: Wanted) -> NDArray[np.bool_]:
        """Which slots have one of the wanted values of an attribute, bool [M]."""
        if name in self.numeric:
            return NumberColumn(self.numbers[:, self.numeric.index(name)]).having(bounds(name, wanted))
        codes = [self.codes[name, value] for value in plain_values(name, wanted) if (name, value) in self.codes]
        mask = np.zeros(len(self), np.bool_)
        mask[self.owners[np.isin(self.values, codes)]] = True
        return mask


class Delta:
    """The writer's side: one slot for every put, newest last."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = spec
        self._numeric = tuple(one.name for one in spec.attributes if one.kind == "numeric")
        self._vectors = Column((spec.dim,), np.float32)
        self._attributes = Column((spec.max_attributes,), np.int32)
        self._text = Column((spec.text_dim,), np.float32)
        self._numbers = Column((len(self._numeric),), np.float64)
        self._values, self._owners = Column((), np.int32), Column((), np.int32)
        self._records: list[ItemRecord] = []
        self._codes: dict[tuple[str, str], int] = {}

    def append(self, record: ItemRecord, vector: object, attribute_ids: object, text_vector: object) -> int:
        """Store one item; returns its slot."""
        slot = self._vectors.size
        self._vectors.append(vector)
        self._attributes.append(attribute_ids)
        self._text.append(text_vector)
        self._numbers.append([number_of(record, name) for name in self._numeric])
        self._records.append(record)
        self._append_values(slot, record)
        return slot

    def view(self) -> DeltaView:
        """Everything stored so far."""
        return DeltaView(
            self._vectors.view(),
            self._attributes.view(),
            self._text.view(),
            self._numbers.view(),
            self._values.view(),
            self._owners.view(),
            self._records,
            self._codes,
            self._numeric,
        )

    def _append_values(self, slot: int, record: ItemRecord) -> None:
        for one in self._spec.attributes:
            if one.kind == "numeric":
                continue
            for value in values_of(record, one.name):
                self._values.append(self._codes.setdefault((one.name, value), len(self._codes)))
                self._owners.append(slot)
