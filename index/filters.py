"""Attribute filters by raw value: what a caller may ask for, and which rows of a column have it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from index.backends import Mask
from model.errors import RequestError
from model.features.records import ItemRecord
from model.features.spec import AttributeSpec, Value, plain

Range: TypeAlias = Mapping[str, float]
Wanted: TypeAlias = Sequence[Value | Range]  # any of these
Bounds: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """A categorical or multi-valued attribute: for each raw value its rows, ascending (indptr [V+1], rows [nnz])."""

    values: Mapping[str, int]
    indptr: NDArray[np.int64]
    rows: NDArray[np.int32]

    def having(self, wanted: Sequence[str], size: int) -> Mask:
        """Which of `size` rows have one of the values."""
        mask = np.zeros(size, np.bool_)
        for value in wanted:
            place = self.values.get(value)
            if place is not None:
                mask[self.rows[self.indptr[place] : self.indptr[place + 1]]] = True
        return mask


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A numeric attribute: float64 [N], NaN where unknown."""

    numbers: NDArray[np.float64]

    def having(self, wanted: Sequence[Bounds]) -> Mask:
        """Which rows lie within one of the closed intervals."""
        mask = np.zeros(len(self.numbers), np.bool_)
        for low, high in wanted:
            mask |= (self.numbers >= low) & (self.numbers <= high)
        return mask


def attribute_of(specs: Sequence[AttributeSpec], name: str) -> AttributeSpec:
    """The attribute `name`; raises RequestError that lists those there are."""
    for one in specs:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in specs) or "none: this catalogue has no attributes"
    raise RequestError("filter attribute", name, f"use one of: {known}")


def plain_values(name: str, wanted: Wanted) -> list[str]:
    """The wanted values as records spell them; raises RequestError for a range."""
    return [_plain(name, one) for one in wanted]


def bounds(name: str, wanted: Wanted) -> list[Bounds]:
    """The wanted numbers and ranges as closed intervals; raises RequestError for anything else."""
    return [_range(name, one) if isinstance(one, Mapping) else (_number(name, one),) * 2 for one in wanted]


def _plain(name: str, value: Value | Range) -> str:
    spelled = None if isinstance(value, Mapping) else plain(value)
    if spelled is None:
        raise RequestError(
            f"filter value of {name}", value, "give strings or numbers; ranges are for numeric attributes"
        )
    return spelled


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RequestError(f"filter value of {name}", value, 'give finite numbers or {"min": …, "max": …}')
    return float(value)


def _range(name: str, value: Range) -> Bounds:
    if not value or not value.keys() <= {"min", "max"}:
        raise RequestError(f"filter range of {name}", dict(value), 'give {"min": …, "max": …} or one of the two')
    low = _number(name, value["min"]) if "min" in value else -math.inf
    high = _number(name, value["max"]) if "max" in value else math.inf
    if low > high:
        raise RequestError(f"filter range of {name}", dict(value), "give a min that is not above the max")
    return low, high


def values_of(record: ItemRecord, name: str) -> list[str]:
    """Raw values of a record's categorical or multi-valued attribute, each once."""
    values = record.attributes.get(name)
    if values is None:
        return []
    many = [values] if isinstance(values, str | bool | int | float) else list(values)
    return list(dict.fromkeys(spelled for one in many if (spelled := plain(one)) is not None))


def number_of(record: ItemRecord, name: str) -> float:
    """A record's numeric attribute, NaN when unknown or not a number."""
    values = record.attributes.get(name)
    many = [values] if values is None or isinstance(values, str | bool | int | float) else list(values)
    try:
        return float(many[0]) if many and many[0] is not None else math.nan
    except ValueError:
        return math.nan
