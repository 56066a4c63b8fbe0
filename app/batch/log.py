"""`--events FILE`: a log in place of the bundle's; its columns are named as in the recipe or as in /feedback."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.batch.tables import first_name, ids, numbers, read_table, texts, times
from app.pipeline.context import ContextReader, interactions
from model.bundle import Bundle
from model.config import EventColumn, Interactions, Links
from model.errors import DataError
from model.events import History
from model.features.spec import FeatureSpec
from model.ids import NO_ROW

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = {
    "user": ("user_id", "user"),
    "item": ("item_id", "item"),
    "type": ("type", "event_type"),
    "value": ("value",),
    "timestamp": ("timestamp", "time"),
    "order": ("order",),
}


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of the columns that may play each role: the service's own first, then those of the recipe."""

    tables: tuple[Interactions, ...]
    links: str | None = None

    @classmethod
    def of(cls, bundle: Bundle) -> "Roles":
        """Roles as the bundle's recipe declares them."""
        told = bundle.manifest.recipe.get("links")
        return cls(
            tuple(interactions(bundle.manifest.recipe)), None if told is None else Links.model_validate(told).event
        )

    def names(self, role: str) -> list[str]:
        """Candidate names of a role's column, best first."""
        told = [getattr(table, role, None) for table in self.tables]
        return list(dict.fromkeys([*NAMES[role], *(name for name in told if isinstance(name, str))]))

    def ids(self) -> list[str]:
        """All names that hold ids, to be read as they are spelled."""
        return [*self.names("user"), *self.names("item")]

    @property
    def columns(self) -> list[EventColumn]:
        """Columns from which the recipe takes event types."""
        return [table.event for table in self.tables if isinstance(table.event, EventColumn)]

    @property
    def link_events(self) -> list[str]:
        """Event types by which users link one another, of which the service's export tells too."""
        return [] if self.links is None else [self.links]

    @property
    def constants(self) -> list[str]:
        """Event types of tables that hold only one."""
        return [table.event for table in self.tables if isinstance(table.event, str)]


@dataclass(frozen=True, slots=True)
class EventLog:
    """Events in order of time: user codes, item codes int64 [n] into the id lists, types int64 ≥ 1, values, times.

    contexts int64 [n, X]: ids, where the bundle reads them of histories (else X is 0).
    """

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    users: NDArray[np.int64]
    items: NDArray[np.int64]
    types: NDArray[np.int64]
    values: NDArray[np.float32]
    times: NDArray[np.float64]
    contexts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def histories(self, rows: NDArray[np.int64]) -> Mapping[str, History]:
        """Each user's events, oldest first; `rows` int64 [items] are the catalogue's, events at NO_ROW are left out."""
        kept = np.flatnonzero(rows[self.items] != NO_ROW)
        order = kept[np.argsort(self.users[kept], kind="stable")]
        bounds = np.searchsorted(self.users[order], np.arange(len(self.user_ids) + 1))
        told = self.types[order], self.values[order], self.times[order], self.contexts[order]
        whole = History(rows[self.items[order]], *told)
        return {
            name: whole.at(slice(start, end))
            for name, start, end in zip(self.user_ids, bounds, bounds[1:], strict=False)
        }


def read_log(path: Path, bundle: Bundle) -> EventLog:
    """The events of a file; rows of types that the recipe drops are left out. Raises DataError."""
    roles = Roles.of(bundle)
    table = read_table(path, roles.ids())
    users, user = ids(table[first_name(table, roles.names("user"), "user column", path)], f"{path}: user column")
    items, item = ids(table[first_name(table, roles.names("item"), "item column", path)], f"{path}: item column")
    types = event_types(table, roles, bundle.spec, path)
    valued, when = optional(table, roles.names("value")), optional(table, roles.names("timestamp"))
    value = np.full(len(table), np.nan) if valued is None else numbers(valued)
    time = np.full(len(table), np.nan) if when is None else times(when, f"{path}: timestamp")
    place = optional(table, roles.names("order"))
    order = np.lexsort((np.zeros(len(table)) if place is None else numbers(place), time))  # stable, NaN last
    order = order[types[order] > 0]
    contexts = _contexts(table, bundle, time)[order]
    values = value[order].astype(np.float32)
    return EventLog(users, items, user[order], item[order], types[order], values, time[order], contexts)


def _contexts(table: "pa.Table", bundle: Bundle, time: NDArray[np.float64]) -> NDArray[np.int64]:
    """Context ids [n, X] of a table of events; X is 0 where the bundle does not read them of histories."""
    if not bundle.spec.own_contexts:
        return np.zeros((len(table), 0), np.int64)
    return context_ids(table, ContextReader(bundle.spec, bundle.manifest.recipe), time)


def context_ids(table: "pa.Table", reader: ContextReader, time: NDArray[np.float64]) -> NDArray[np.int64]:
    """Context ids of each row, int64 [n, max(1, X)]; each distinct combination is read once."""
    columns = {name: texts(table[name]) for name in reader.sources if name in table.column_names}
    hours = np.floor(time / 3600)  # the clock tells hour and weekday, so an hour is as fine as it gets
    known: dict[tuple[object, ...], NDArray[np.int64]] = {}
    rows = []
    for key in zip(hours.tolist(), *columns.values(), strict=True):
        if key not in known:
            given = {name: value for name, value in zip(columns, key[1:], strict=True) if value is not None}
            known[key] = reader.ids(reader.values(given, key[0] * 3600))
        rows.append(known[key])
    return np.stack(rows) if rows else np.zeros((0, len(reader.ids({}))), np.int64)


def optional(table: "pa.Table", names: Sequence[str]) -> "pa.ChunkedArray | None":
    """The first of `names` that is a column, None when none is."""
    found = next((name for name in names if name in table.column_names), None)
    return None if found is None else table[found]


def event_types(table: "pa.Table", roles: Roles, spec: FeatureSpec, path: Path) -> NDArray[np.int64]:
    """Event type ids of a table's rows, int64 [n], 0 for rows that are no events; DataError for unknown types."""
    column = next((one for one in roles.columns if one.column in table.column_names), None)
    named = optional(table, NAMES["type"])
    if named is None and column is None:
        return np.full(len(table), _only_type(roles, spec, path), np.int64)
    spelled = texts(table[column.column]) if named is None and column is not None else texts(named)
    known = {name: place + 1 for place, name in enumerate(spec.event_types)}
    renamed = {source: known.get(name, 0) for one in roles.columns for source, name in one.map.items()}
    renamed |= dict.fromkeys(roles.link_events, 0)  # told of people, and no event of items
    dropped = any(one.unmapped != "refuse" for one in roles.columns)
    if unknown := {one for one in spelled if one not in known and one not in renamed} if not dropped else None:
        raise DataError(f"{path}: event type", sorted(map(str, unknown))[:10], f"known are {', '.join(known)}")
    return np.asarray([known.get(one or "", renamed.get(one or "", 0)) for one in spelled], np.int64)


def _only_type(roles: Roles, spec: FeatureSpec, path: Path) -> int:
    """The one type that a table without a type column can mean."""
    types = roles.constants if len(set(roles.constants)) == 1 else list(spec.event_types)
    if len(set(types)) != 1:
        raise DataError(f"{path}: event type", "no column", f"add a column type: {', '.join(spec.event_types)}")
    return spec.type_id(types[0])
