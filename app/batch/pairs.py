"""`--pairs FILE`: who, what, and where known when and in which context; grouped into moments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.batch.log import Roles, context_ids, optional
from app.batch.tables import first_name, ids, read_table, times
from app.pipeline.context import ContextReader
from model.bundle import Bundle

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Group:
    """One user at one moment in one context: `pairs` int64 are the rows of the table that ask about it."""

    user_id: str
    now: float
    context: NDArray[np.int64]
    pairs: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs: codes int64 [n] into the id lists, times float64 [n] (NaN: unknown), context ids int64 [n, X]."""

    table: "pa.Table"
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    users: NDArray[np.int64]
    items: NDArray[np.int64]
    times: NDArray[np.float64]
    contexts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def groups(self) -> list[Group]:
        """The moments asked about, in order of time, those without a time last."""
        keys = np.column_stack([_ranks(self.times), self.users, self.contexts])
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(inverse.ravel(), kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(inverse.ravel()))[:-1]) if len(self) else []
        return [
            Group(self.user_ids[self.users[one]], float(self.times[one]), self.contexts[one], part)
            for one, part in zip(first.tolist(), parts, strict=True)
        ]


def read_pairs(path: Path, bundle: Bundle) -> Pairs:
    """The pairs of a file; raises DataError for missing columns or ids and unreadable times."""
    roles, reader = Roles.of(bundle), ContextReader(bundle.spec, bundle.manifest.recipe)
    table = read_table(path, roles.ids())
    users, user = ids(table[first_name(table, roles.names("user"), "user column", path)], f"{path}: user column")
    items, item = ids(table[first_name(table, roles.names("item"), "item column", path)], f"{path}: item column")
    when = optional(table, roles.names("timestamp"))
    time = np.full(len(table), np.nan) if when is None else times(when, f"{path}: timestamp")
    return Pairs(table, users, items, user, item, time, context_ids(table, reader, time))


def _ranks(times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Dense ranks of times, equal for equal ones, NaN last and equal among themselves."""
    return np.unique(times, return_inverse=True)[1].ravel().astype(np.int64)


def passed_through(pairs: Pairs, replaced: Sequence[str]) -> Mapping[str, "pa.ChunkedArray"]:
    """All columns of the table but those whose names the predictions take."""
    return {name: pairs.table[name] for name in pairs.table.column_names if name not in replaced}
