"""Interaction tables as columns: who, what, which event, when, in which context, with which labels."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.config import ContextColumn, EventColumn, Interactions, Recipe
from model.data.findings import Shown, bad_ids, found
from model.data.labels import Labels
from model.data.log import MISSING, TRAIN, VALID, Finding
from model.data.roles import BAD_PART, DERIVED, NO_PART, context_column, event_kinds, split_parts
from model.data.tables import Table, open_table
from model.data.values import Coded, coded, expression_column, numbers, times
from model.errors import RecipeError
from model.features.truth import Column, Texts

UNMAPPED = "map them to event types, or set unmapped = 'drop' or 'impression' (rows are left out)"


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

    def take(self, places: NDArray[np.int64]) -> "Rows":
        """Some of the rows."""
        return replace(
            self,
            user=self.user.take(places),
            item=self.item.take(places),
            kind=self.kind.take(places),
            value=self.value[places],
            time=self.time[places],
            order=self.order[places],
            part=self.part[places],
            context={name: column.take(places) for name, column in self.context.items()},
            labels=self.labels[places],
            asked=self.asked[places],
        )


def read_interactions(recipe: Recipe, data_dir: Path | None, now: float) -> list[Rows]:
    """Every interactions table of a recipe; `now` (epoch seconds) tells what is future.

    Raises DataError and RecipeError for what cannot be read at all.
    """
    tables = [open_table(recipe, table, data_dir) for table in recipe.interactions]
    labels = Labels.of(recipe, {column for table in tables for column in table.columns} | _role_names(recipe))
    if recipe.split.kind == "column" and all(recipe.split.column not in table.columns for table in tables):
        tables[0].require([recipe.split.column])
    pairs = zip(tables, recipe.interactions, strict=True)
    return [_Reader(recipe, table, declared, labels, now).rows() for table, declared in pairs]


def _role_names(recipe: Recipe) -> set[str]:
    """Names that expressions may use although no table has such a column."""
    declared = {role for table in recipe.interactions for role in ("value", "timestamp") if getattr(table, role)}
    return {"user", "item", "event", *declared, *recipe.context_names}


@dataclass(slots=True)
class _Reader:
    """Reads one table; findings gather on the way."""

    recipe: Recipe
    table: Table
    declared: Interactions
    labels: Labels
    now: float
    findings: list[Finding] = field(default_factory=list)

    def rows(self) -> Rows:
        """The table's rows, without those that no use can be made of."""
        frame, one = self._frame(), self.declared
        time, value, order = self._times(frame), self._number(frame, one.value), self._number(frame, one.order)
        user, item = coded(frame[one.user]), coded(frame[one.item])
        kind, unmapped = self._kinds(frame)
        context = {column.name: context_column(column, frame, time) for column in one.context}
        texts = {"user": user, "item": item, "event": kind, **context}
        columns = self._readable(frame, texts, {"value": value, "timestamp": time})
        part = self._parts(frame, columns)
        labels, asked = self.labels.of_rows(columns, len(frame))
        made = Rows(user, item, kind, value, time, order, part, context, labels, asked, self.findings)
        bad = unmapped | self._bad_ids(user, "user") | self._bad_ids(item, "item") | (part == BAD_PART)
        bad |= np.isnan(time) if one.timestamp else False
        bad |= np.isnan(order) if one.order else False
        return made.take(np.flatnonzero(~bad)) if bad.any() else made

    def _frame(self) -> pd.DataFrame:
        """The columns that any role or expression needs; roles that hold texts are read as texts."""
        one = self.declared
        event = one.event.column if isinstance(one.event, EventColumn) else None
        context = [column.column for column in one.context if not self._is_derived(column)]
        self.table.require([one.user, one.item, event, one.value, one.timestamp, one.order, *context])
        text = {one.user, one.item, event, *context, self.recipe.split.column}
        wanted = {*text, one.value, one.timestamp, one.order, *self.labels.names}
        return self.table.read(_strings(wanted), _strings(text))

    def _is_derived(self, column: ContextColumn) -> bool:
        """Whether a context column is made of the timestamp."""
        derived = column.column in DERIVED and column.column not in self.table.columns
        if derived and self.declared.timestamp is None:
            move = f"{self.table.name} has no timestamp to make it of; leave it out"
            raise RecipeError(f"context {column.name}", column.column, move)
        return derived

    def _find(self, name: str, bad: NDArray[np.bool_], shown: Shown, move: str) -> None:
        self.findings += found(name, self.table.name, bad, shown, move)

    def _times(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Epoch seconds, NaN in an untimed table."""
        if self.declared.timestamp is None:
            return np.full(len(frame), np.nan)
        shown = frame[self.declared.timestamp]
        time, bad = times(shown)
        self._find("bad timestamps", bad, shown.to_numpy(object), "write an epoch or ISO-8601 (rows are left out)")
        self._find("future timestamps", time > self.now, shown.to_numpy(object), "mend the clock or the column's unit")
        return time

    def _number(self, frame: pd.DataFrame, column: str | None) -> NDArray[np.float64]:
        """A numeric role, NaN where missing or not declared."""
        if column is None:
            return np.full(len(frame), np.nan)
        value, bad = numbers(frame[column])
        self._find("bad numbers in the log", bad, frame[column].to_numpy(object), f"write finite numbers in {column}")
        return value

    def _kinds(self, frame: pd.DataFrame) -> tuple[Coded, NDArray[np.bool_]]:
        """Event types (missing: impression), and which rows have to go, bool [n]."""
        event = self.declared.event
        kind, raw = event_kinds(event, frame)
        if not isinstance(event, EventColumn) or event.unmapped == "impression":
            return kind, np.zeros(len(frame), bool)
        unmapped = kind.codes == MISSING
        if event.unmapped == "refuse":
            self._find("unknown events", unmapped, raw.objects(), UNMAPPED)
        return kind, unmapped

    def _parts(self, frame: pd.DataFrame, columns: Mapping[str, Column]) -> NDArray[np.int8]:
        """What the split column says, NO_PART without one; training rows that validate by an expression are valid."""
        split = self.recipe.split
        if split.kind != "column" or split.column not in frame:
            return np.full(len(frame), NO_PART, np.int8)
        raw = coded(frame[split.column])
        part = split_parts(raw)
        self._find("bad split", part == BAD_PART, raw.objects(), "write train, valid or test (rows are left out)")
        validates = self.labels.validates(columns, len(frame))
        return np.where((part == TRAIN) & validates, VALID, part).astype(np.int8)

    def _bad_ids(self, ids: Coded, what: str) -> NDArray[np.bool_]:
        """Rows whose id is missing or no id, bool [n]."""
        bad = bad_ids(ids.values)[ids.codes]
        self._find(f"bad {what} ids", bad, ids.objects(), "an id is 1 to 256 bytes of UTF-8 (rows are left out)")
        return bad

    def _readable(
        self, frame: pd.DataFrame, texts: Mapping[str, Coded], figures: Mapping[str, NDArray[np.float64]]
    ) -> dict[str, Column]:
        """What expressions read: roles and context by name, else the table's columns, else nothing but null."""
        columns: dict[str, Column] = {}
        null = Texts(np.full(len(frame), MISSING, np.int64), ())
        for name in self.labels.names:
            if name in texts:
                columns[name] = texts[name].texts()
            elif name in figures and getattr(self.declared, name):
                columns[name] = figures[name]
            else:
                columns[name] = expression_column(frame[name]) if name in frame else null
        return columns


def _strings(names: Collection[str | None]) -> set[str]:
    return {name for name in names if name is not None}
