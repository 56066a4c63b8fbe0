"""Interaction tables as columns: who, what, which event, when, in which context, with which labels."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.config import ContextColumn, EventColumn, Interactions, Recipe
from model.data.findings import bad_ids, found
from model.data.labels import Labels
from model.data.log import MISSING, PARTS, Finding
from model.data.tables import Table, open_table
from model.data.values import Coded, coded, derived_time, expression_column, numbers, times
from model.errors import RecipeError
from model.features.truth import Column

DERIVED = ("hour", "weekday")  # context columns made of the timestamp when the table has none of the name
NO_PART = -1
PART_NAMES = dict(zip(PARTS, range(3), strict=True)) | {"training": 0, "val": 1, "validation": 1, "dev": 1}


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one interactions table that can be used, in file order.

    kind: the event type (missing: impression) · part int8: what the split column says, NO_PART without one · context by
    name · labels float32 [n, T] as the expressions say · asked bool [n, T]: which rows carry the label.
    """

    user: Coded
    item: Coded
    kind: Coded
    value: NDArray[np.float64]
    time: NDArray[np.float64]
    order: NDArray[np.float64]
    part: NDArray[np.int8]
    context: Mapping[str, Coded]
    labels: NDArray[np.float32]
    asked: NDArray[np.bool_]
    findings: list[Finding]


def read_interactions(recipe: Recipe, data_dir: Path | None) -> list[Rows]:
    """Every interactions table of a recipe; raises DataError and RecipeError for what cannot be read at all."""
    tables = [open_table(recipe, table, data_dir) for table in recipe.interactions]
    labels = Labels.of(recipe, {column for table in tables for column in table.columns} | _role_names(recipe))
    _check_split(recipe, tables)
    return [
        _Reader(recipe, table, declared, labels).rows()
        for table, declared in zip(tables, recipe.interactions, strict=True)
    ]


def _role_names(recipe: Recipe) -> set[str]:
    """Names that labels may use although no table has such a column."""
    declared = {role for table in recipe.interactions for role in ("value", "timestamp") if getattr(table, role)}
    return {"user", "item", "event", *declared, *recipe.context_names}


def _check_split(recipe: Recipe, tables: list[Table]) -> None:
    if recipe.split.kind == "column" and not any(recipe.split.column in table.columns for table in tables):
        tables[0].require([recipe.split.column])


@dataclass(slots=True)
class _Reader:
    """Reads one table; findings gather on the way."""

    recipe: Recipe
    table: Table
    declared: Interactions
    labels: Labels
    findings: list[Finding] = field(default_factory=list)

    def rows(self) -> Rows:
        """The table's rows, without those that no use can be made of."""
        frame = self._frame()
        time, order = self._times(frame), self._number(frame, self.declared.order, "bad order")
        user, item = coded(frame[self.declared.user]), coded(frame[self.declared.item])
        kind, unmapped = self._kind(frame)
        context = {column.name: self._context(frame, column, time) for column in self.declared.context}
        value, part = self._number(frame, self.declared.value, "bad values"), self._part(frame)
        columns = self._readable(frame, self._roles(user, item, kind, value, time, context))
        made = Rows(
            user,
            item,
            kind,
            value,
            time,
            order,
            part,
            context,
            *self.labels.of_rows(columns, len(frame)),
            self.findings,
        )
        bad = unmapped | self._bad_ids(user, "user") | self._bad_ids(item, "item") | (part < NO_PART)
        bad |= np.isnan(time) if self.declared.timestamp else False
        bad |= np.isnan(order) if self.declared.order else False
        return taken(made, np.flatnonzero(~bad)) if bad.any() else made

    def _frame(self) -> pd.DataFrame:
        """The columns that any role or expression needs; roles that hold texts are read as texts."""
        one = self.declared
        event = one.event.column if isinstance(one.event, EventColumn) else None
        context = [column.column for column in one.context if not self._is_derived(column)]
        self.table.require([one.user, one.item, event, one.value, one.timestamp, one.order, *context])
        text = {one.user, one.item, event, *context, self.recipe.split.column} - {None}
        wanted = {*text, one.value, one.timestamp, one.order, *self.labels.names} - {None}
        return self.table.read(_strings(wanted), _strings(text))

    def _is_derived(self, column: ContextColumn) -> bool:
        """Whether a context column is made of the timestamp."""
        derived = column.column in DERIVED and column.column not in self.table.columns
        if derived and self.declared.timestamp is None:
            raise RecipeError(
                f"context {column.name}",
                column.column,
                f"{self.table.name} has no timestamp to make it of; leave it out",
            )
        return derived

    def _times(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Epoch seconds, NaN in an untimed table."""
        if self.declared.timestamp is None:
            return np.full(len(frame), np.nan)
        shown = frame[self.declared.timestamp]
        time, bad = times(shown)
        self.findings += found(
            "bad timestamps",
            self.table.name,
            bad,
            shown.to_numpy(object),
            "write an epoch or ISO-8601 (rows are left out)",
        )
        return time

    def _number(self, frame: pd.DataFrame, column: str | None, name: str) -> NDArray[np.float64]:
        """A numeric role, NaN where missing or not declared."""
        if column is None:
            return np.full(len(frame), np.nan)
        value, bad = numbers(frame[column])
        self.findings += found(name, self.table.name, bad, frame[column].to_numpy(object), "write a finite number")
        return value

    def _kind(self, frame: pd.DataFrame) -> tuple[Coded, NDArray[np.bool_]]:
        """Event types (missing: impression), and which rows have to go, bool [n]."""
        event, rows = self.declared.event, len(frame)
        if not isinstance(event, EventColumn):
            kind = Coded(np.full(rows, 0 if event else MISSING, np.int64), (event,) if event else ())
            return kind, np.zeros(rows, bool)
        raw = coded(frame[event.column])
        kind = raw.renamed([event.map.get(value) for value in raw.values]) if event.map else raw
        unmapped = kind.codes == MISSING
        if event.unmapped == "refuse":
            move = "map them to event types, or set unmapped = 'drop' or 'impression' (rows are left out)"
            self.findings += found("unknown events", self.table.name, unmapped, raw.objects(), move)
        return kind, unmapped & (event.unmapped != "impression")

    def _context(self, frame: pd.DataFrame, column: ContextColumn, time: NDArray[np.float64]) -> Coded:
        """A context column, its values made from substrings where the recipe says so."""
        if self._is_derived(column):
            return derived_time(column.column, time)
        raw = coded(frame[column.column])
        return raw.renamed([_matched(column, value) for value in raw.values]) if column.match else raw

    def _part(self, frame: pd.DataFrame) -> NDArray[np.int8]:
        """What the split column says, NO_PART without one, NO_PART − 1 for what is no part."""
        if self.recipe.split.kind != "column" or self.recipe.split.column not in frame:
            return np.full(len(frame), NO_PART, np.int8)
        raw = coded(frame[self.recipe.split.column])
        parts = [PART_NAMES.get(value.lower(), NO_PART - 1) for value in raw.values]
        part = np.asarray([*parts, NO_PART - 1], np.int8)[raw.codes]
        self.findings += found(
            "bad split",
            self.table.name,
            part < NO_PART,
            raw.objects(),
            "write train, valid or test (rows are left out)",
        )
        return part

    def _bad_ids(self, ids: Coded, what: str) -> NDArray[np.bool_]:
        """Rows whose id is missing or no id, bool [n]."""
        bad = bad_ids(ids.values)[ids.codes]
        move = "an id is 1 to 256 bytes of UTF-8 (rows are left out)"
        self.findings += found(f"bad {what} ids", self.table.name, bad, ids.objects(), move)
        return bad

    def _roles(
        self,
        user: Coded,
        item: Coded,
        kind: Coded,
        value: NDArray[np.float64],
        time: NDArray[np.float64],
        context: Mapping[str, Coded],
    ) -> dict[str, Column]:
        """The columns that label expressions know by their role's name."""
        texts = {"user": user, "item": item, "event": kind, **context}
        roles: dict[str, Column] = {
            name: column.objects() for name, column in texts.items() if name in self.labels.names
        }
        declared = {"value": value, "timestamp": time}
        return roles | {name: column for name, column in declared.items() if getattr(self.declared, name)}

    def _readable(self, frame: pd.DataFrame, roles: Mapping[str, Column]) -> dict[str, Column]:
        """What label expressions read: roles and context by name, else the table's columns, else nothing but null."""
        null = np.full(len(frame), None, object)
        rest = [name for name in self.labels.names if name not in roles]
        return {**roles, **{name: expression_column(frame[name]) if name in frame else null for name in rest}}


def taken(rows: Rows, places: NDArray[np.int64]) -> Rows:
    """Some of the rows."""
    return replace(
        rows,
        user=rows.user.take(places),
        item=rows.item.take(places),
        kind=rows.kind.take(places),
        value=rows.value[places],
        time=rows.time[places],
        order=rows.order[places],
        part=rows.part[places],
        context={name: column.take(places) for name, column in rows.context.items()},
        labels=rows.labels[places],
        asked=rows.asked[places],
    )


def _matched(column: ContextColumn, value: str) -> str | None:
    """The context value of the first substring that occurs, else the default."""
    return next((name for part, name in column.match if part in value), column.default)


def _strings(names: Collection[str | None]) -> set[str]:
    return {name for name in names if name is not None}
