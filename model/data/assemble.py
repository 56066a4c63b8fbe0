"""The rows of all interaction tables as one sorted log with labels and parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config import Recipe
from model.config.checks import declared_events
from model.data.interactions import Rows
from model.data.labels import look_ahead
from model.data.log import MISSING, Log
from model.data.split import split_rows
from model.data.values import rows_of
from model.errors import DataError
from model.ids import IdMap

LOT = 0  # seed of the order of rows that have none


@dataclass(frozen=True, slots=True)
class Assembled:
    """All rows, impressions (type 0) among them, with the names behind their codes."""

    log: Log
    event_types: tuple[str, ...]
    context_values: tuple[tuple[str, ...], ...]


def assemble(recipe: Recipe, tables: Sequence[Rows], items: IdMap, users: IdMap) -> Assembled:
    """Join, sort (time, then the order column, then file order; see `_sorted`), split and label the rows.

    Raises DataError when there is no row.
    """
    event_types, (context, values) = _event_types(recipe, tables), _contexts(recipe, tables)
    time, order, part = _joined(tables, "time"), _joined(tables, "order"), _joined(tables, "part")
    if not len(time):
        raise DataError("interactions", "no usable row", "correct the columns of the recipe or the tables")
    sort = _sorted(time, order, part)
    user, item, kind = (
        np.concatenate([rows_of(known, getattr(rows, name)) for rows in tables])[sort]
        for name, known in (("user", users), ("item", items), ("kind", IdMap(event_types)))
    )
    split = split_rows(recipe.split, user, time[sort], kind >= 0, part[sort])
    log = Log(
        user=user,
        item=item,
        type=kind + 1,
        value=_joined(tables, "value")[sort].astype(np.float32),
        time=time[sort],
        order=np.arange(len(sort)),
        context=context[sort],
        labels=_joined(tables, "labels")[sort],
        split=split,
    )
    return Assembled(_labelled(recipe, log, _joined(tables, "asked")[sort], len(items)), event_types, values)


def _joined(tables: Sequence[Rows], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(rows, name) for rows in tables])


def _sorted(time: NDArray[np.float64], order: NDArray[np.float64], part: NDArray[np.int8]) -> NDArray[np.int64]:
    """Places of the rows in the log: by time, then by order column, then as they came.

    Rows that have neither have no order: those of a part stand behind those that may be known before it, and within a
    part by lot, since files are often sorted by what must not be learned (listens by how many they are, say).
    """
    loose = np.isnan(time) & np.isnan(order)
    lot = np.random.default_rng(LOT).permutation(len(time))
    keys = (np.where(loose, lot, 0), np.where(loose, part, 0), order, time)
    return np.lexsort([np.nan_to_num(key.astype(np.float64), nan=-np.inf) for key in keys])


def _labelled(recipe: Recipe, log: Log, asked: NDArray[np.bool_], items: int) -> Log:
    """The log with labels that look ahead where their task says so, and none on rows that do not carry them."""
    pair_and_part = (log.user * items + log.item) * 3 + log.split
    time = np.where(np.isnan(log.time), log.order, log.time)
    for column, task in enumerate(recipe.pair_tasks):
        if task.horizon is not None:
            horizon = np.inf if task.horizon == "ever" else task.horizon
            log.labels[:, column] = look_ahead(log.labels[:, column], pair_and_part, time, horizon)
    log.labels[~asked] = np.nan
    return log


def _event_types(recipe: Recipe, tables: Sequence[Rows]) -> tuple[str, ...]:
    """Declared event types in order; where a column's values are the types, all of them, most frequent first."""
    if declared := declared_events(recipe):
        return tuple(declared)
    counts: dict[str, int] = {}
    for rows in tables:
        sizes = np.bincount(rows.kind.codes + 1, minlength=len(rows.kind.values) + 1)[1:]
        for value, count in zip(rows.kind.values, sizes.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
    return tuple(sorted(counts, key=lambda value: (-counts[value], value)))


def _contexts(recipe: Recipe, tables: Sequence[Rows]) -> tuple[NDArray[np.int64], tuple[tuple[str, ...], ...]]:
    """Context codes of all rows, int64 [n, X'], and the values of each column."""
    size = sum(len(rows.time) for rows in tables)
    codes, values = np.full((size, len(recipe.context_names)), MISSING, np.int64), []
    for place, name in enumerate(recipe.context_names):
        known = IdMap()
        for rows in tables:
            for value in rows.context[name].values if name in rows.context else ():
                known.add(value)
        codes[:, place] = np.concatenate([_context_rows(known, rows, name) for rows in tables])
        values.append(tuple(known.names))
    return codes, tuple(values)


def _context_rows(known: IdMap, rows: Rows, name: str) -> NDArray[np.int64]:
    """One table's codes of a context column, MISSING where the table has none."""
    if name not in rows.context:
        return np.full(len(rows.time), MISSING, np.int64)
    return rows_of(known, rows.context[name])
