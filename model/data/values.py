"""Columns of a frame as numpy: texts as codes, numbers, times, and what an expression reads."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.data.log import MISSING
from model.features.spec import plain
from model.features.truth import Column, Texts
from model.ids import NO_ROW, IdMap

AnySeries: TypeAlias = "pd.Series[Any]"
UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))  # epochs above the first are in ns, µs, ms; others in seconds


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of texts: codes int64 [n] into `values`, −1 for missing."""

    codes: NDArray[np.int64]
    values: tuple[str, ...]

    def renamed(self, values: Iterable[str | None]) -> "Coded":
        """The column with other texts for its values (None: missing); equal ones become one."""
        positions: dict[str, int] = {}
        new = [MISSING if value is None else positions.setdefault(value, len(positions)) for value in values]
        return Coded(np.asarray([*new, MISSING], np.int64)[self.codes], tuple(positions))

    def take(self, places: NDArray[np.int64]) -> "Coded":
        """Some of the rows."""
        return Coded(self.codes[places], self.values)

    def texts(self) -> Texts:
        """The column as rules read it."""
        return Texts(self.codes, self.values)

    def objects(self) -> NDArray[np.object_]:
        """The texts themselves, None for missing."""
        return np.asarray([*self.values, None], object)[self.codes]


def rows_of(known: IdMap, ids: Coded) -> NDArray[np.int64]:
    """Texts as rows of an id map, int64 [n], NO_ROW for missing and unknown ones."""
    return np.asarray([*known.rows(ids.values), NO_ROW], np.int64)[ids.codes]


def coded(series: AnySeries) -> Coded:
    """Any column as texts, spelled as ids and vocabularies spell them: whole numbers without `.0`, empty is missing."""
    codes, uniques = pd.factorize(series)
    spelled = [_spelled(value) or None for value in uniques.tolist()]
    return Coded(codes.astype(np.int64), ("",) * len(spelled)).renamed(spelled)


def _spelled(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return plain(value) if isinstance(value, str | int | float) else str(value)


def numbers(series: AnySeries) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A column as finite numbers, float64 [n] (NaN: missing), and which rows hold something else, bool [n]."""
    found = pd.to_numeric(series, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    found = np.where(np.isinf(found), np.nan, found)
    return found, np.isnan(found) & series.notna().to_numpy()


def times(series: AnySeries) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A column as epoch seconds, float64 [n], and which rows are no time (missing ones too), bool [n].

    Epochs may be seconds, milli-, micro- or nanoseconds (told by their size); text is an epoch or ISO-8601, UTC unless
    it says otherwise.
    """
    if pd.api.types.is_datetime64_any_dtype(series):
        found = _seconds(series)
    else:
        found = _epochs(numbers(series)[0])
        if (left := np.isnan(found)).any():
            parsed = pd.to_datetime(series[left].astype(str), errors="coerce", utc=True, format="ISO8601")
            found[left] = _seconds(parsed)
    return found, np.isnan(found)


def _seconds(series: AnySeries) -> NDArray[np.float64]:
    """Epoch seconds of a datetime column, NaN for missing."""
    stamps = pd.to_datetime(series, utc=True).dt.tz_localize(None).to_numpy("datetime64[ns]")
    return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64) / 1e9)


def _epochs(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Epochs in seconds, whatever their unit."""
    for limit, factor in UNITS:
        found = np.where(np.abs(found) > limit, found / factor, found)
    return found


def expression_column(series: AnySeries) -> Column:
    """A column as rules read it: numbers (NaN: null), or texts and multi-valued attributes by code."""
    if pd.api.types.is_bool_dtype(series) or pd.api.types.is_numeric_dtype(series):
        return series.to_numpy(np.float64, na_value=np.nan)
    many = series.map(lambda value: isinstance(value, list | tuple | np.ndarray)).to_numpy(bool)
    if many.any():
        values = [tuple(value) if own else None for value, own in zip(series, many, strict=True)]
        return Texts(np.where(many, np.arange(len(values)), MISSING), values)
    return coded(series).texts()


def derived_time(name: str, time: NDArray[np.float64]) -> Coded:
    """`hour` (0–23) or `weekday` (0 = Monday) of epoch seconds in UTC, as texts."""
    known = np.nan_to_num(time)
    found = known // 3600 % 24 if name == "hour" else (known // 86400 + 3) % 7
    codes = np.where(np.isnan(time), MISSING, found).astype(np.int64)
    return Coded(codes, tuple(str(number) for number in range(24 if name == "hour" else 7)))
