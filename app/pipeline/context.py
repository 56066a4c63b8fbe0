"""What is known at request time besides the user: the recipe's context columns, read alike for HTTP and batch."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from math import isfinite, nan

import numpy as np
from numpy.typing import NDArray
from orjson import loads
from pydantic import JsonValue

from model.config import ContextColumn, Interactions
from model.features.spec import FeatureSpec, Value, plain

CLOCK = ("hour", "weekday")  # columns that are derived from the time
KEPT = 10_000  # contexts of events whose ids are remembered: few differ, and a history has many


class ContextReader:
    """Reads context values and ids by the columns a recipe declares; a column under its own name wins."""

    def __init__(self, spec: FeatureSpec, recipe: Mapping[str, JsonValue]) -> None:
        columns = [column for table in interactions(recipe) for column in table.context]
        declared = {column.name: column for column in reversed(columns)}
        self._spec = spec
        self._columns = [declared.get(one.name, ContextColumn(name=one.name, column=one.name)) for one in spec.context]
        self._clocked = any(one.column in CLOCK for one in self._columns)
        self._kept: dict[tuple[str, float], list[int]] = {}

    @property
    def sources(self) -> list[str]:
        """Names of the columns that a table of rows may give, the recipe's own names and those of its source."""
        return list(dict.fromkeys(name for one in self._columns for name in (one.name, one.column)))

    def values(self, given: Mapping[str, Value], now: float) -> dict[str, str]:
        """Each column's value as the vocabulary spells it, where it is known; `now` is epoch seconds or NaN."""
        found = {one.name: _value(one, given, now) for one in self._columns}
        return {name: value for name, value in found.items() if value is not None}

    def ids(self, values: Mapping[str, str]) -> NDArray[np.int64]:
        """One id a column, int64 [X]."""
        return self._spec.context_ids(values)

    def ids_of(self, packed: Sequence[str], times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Ids [L, X] of the contexts of past events, told as JSON objects ("" for none); X is 0 without any columns."""
        if not self._columns:
            return np.zeros((len(packed), 0), np.int64)
        if not len(packed):
            return np.zeros((0, len(self._columns)), np.int64)
        # The clock tells hour and weekday: an hour is as fine as it gets, and NaN, which is equal to nothing, is -1.
        hours = np.where(np.isnan(times), -1.0, np.floor(times / 3600)).tolist() if self._clocked else repeat(-1.0)
        kept = self._kept
        return np.asarray([kept.get(told) or self._one(*told) for told in zip(packed, hours, strict=False)], np.int64)

    def _one(self, packed: str, hour: float) -> list[int]:
        """Ids of one context, remembered from here on."""
        given: dict[str, Value] = loads(packed) if packed else {}
        ids: list[int] = self.ids(self.values(given, nan if hour < 0 else hour * 3600)).tolist()
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[packed, hour] = ids
        return ids


def interactions(recipe: Mapping[str, JsonValue]) -> list[Interactions]:
    """The interaction tables of a recipe as a manifest keeps it."""
    told = recipe.get("interactions") or []
    return [Interactions.model_validate(one) for one in (told if isinstance(told, list) else [told])]


def _value(column: ContextColumn, given: Mapping[str, Value], now: float) -> str | None:
    """As named; else made from the source's column; else told by the clock."""
    for name in (column.name, column.column):
        if (value := plain(given.get(name))) is not None:
            return _matched(column, value)
    return _clock(column.column, now) if isfinite(now) and column.column in CLOCK else None


def _matched(column: ContextColumn, value: str) -> str | None:
    """The value itself when it is already one of the column's own, else what the first substring found makes of it."""
    made = [name for _, name in column.match]
    if not column.match or value in made:
        return value
    return next((name for part, name in column.match if part in value), column.default)


def _clock(column: str, now: float) -> str:
    """Hour (0–23) or weekday (Monday is 0) in UTC."""
    moment = datetime.fromtimestamp(now, UTC)
    return str(moment.hour if column == "hour" else moment.weekday())
