"""What loading yields: the log, what is known of items and users, the graph and the links, as plain numpy arrays."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.events import History
from model.features.spec import Values
from model.ids import IdMap

TRAIN, VALID, TEST = 0, 1, 2
PARTS = ("train", "valid", "test")
MISSING = -1  # context code of a missing value
IMPRESSION = 0  # type of a row that is labelled but no event

Rows: TypeAlias = NDArray[np.int64] | NDArray[np.bool_] | slice


@dataclass(frozen=True, slots=True)
class Log:
    """Rows of the interaction tables, sorted by time, order column, file; n rows, X' context columns, T pair tasks.

    user, item int64 [n] (rows of the id maps) · type int64 [n] (event type id ≥ 1; 0 in `Dataset.impressions`) · value
    float32 [n] (NaN: none) · time float64 [n] (epoch seconds, NaN: untimed) · order int64 [n] (ascending; place among
    all rows, impressions included, so that the two compare) · context int64 [n, X'] (position in
    `Dataset.context_values`, −1 missing) · labels float32 [n, T] (NaN: unlabelled) · split int8 [n]
    (TRAIN, VALID, TEST).
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    type: NDArray[np.int64]
    value: NDArray[np.float32]
    time: NDArray[np.float64]
    order: NDArray[np.int64]
    context: NDArray[np.int64]
    labels: NDArray[np.float32]
    split: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: Rows) -> "Log":
        """Some of the rows (an index, a mask or a slice), in the order given."""
        return Log(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    def part(self, *parts: int) -> "Log":
        """The rows of some parts: `log.part(TRAIN, VALID)`."""
        return self.take(np.isin(self.split, parts))

    def by_user(self, users: int) -> "ByUser":
        """The rows grouped by user, each user's oldest first."""
        places = np.argsort(self.user, kind="stable")
        return ByUser(np.searchsorted(self.user[places], np.arange(users + 1)), places, self)


@dataclass(frozen=True, slots=True)
class ByUser:
    """A log grouped by user: user u has the log's rows places[indptr[u] : indptr[u + 1]], oldest first."""

    indptr: NDArray[np.int64]
    places: NDArray[np.int64]
    log: Log

    def rows(self, user: int) -> NDArray[np.int64]:
        """The log's rows of one user, oldest first."""
        return self.places[self.indptr[user] : self.indptr[user + 1]]

    def history(self, user: int) -> History:
        """All events of one user, oldest first."""
        rows = self.rows(user)
        return History.of(self.log.item[rows], self.log.type[rows], self.log.value[rows], self.log.time[rows])


@dataclass(frozen=True, slots=True)
class Records:
    """What is known of each row of an id map: texts ("" where unknown) and attribute values (None where unknown).

    A value is a string (categorical), a float (numeric) or a tuple of strings (multi-valued).
    """

    text: Mapping[str, Sequence[str]]
    values: Mapping[str, Sequence[Values]]

    def texts(self, row: int) -> dict[str, str]:
        """The texts of one row that are known."""
        return {name: column[row] for name, column in self.text.items() if column[row]}

    def attributes(self, row: int) -> dict[str, Values]:
        """The attribute values of one row that are known."""
        return {name: column[row] for name, column in self.values.items() if column[row] is not None}


@dataclass(frozen=True, slots=True)
class KnowledgeGraph:
    """Triples int64 [m, 3] of (head, relation, tail) with their names; item_entity int64 [N], −1 where none.

    `told`: whether its facts may be given as reasons.
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    triples: NDArray[np.int64]
    item_entity: NDArray[np.int64]
    told: bool = True


@dataclass(frozen=True, slots=True)
class Links:
    """User–user links: pairs int64 [m, 2] (user rows) · split int8 [m]; a mutual link is there once."""

    pairs: NDArray[np.int64]
    split: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows of a table that loading could not take as they are: which table, what is wrong, how many, ten examples."""

    name: str
    table: str
    rows: int
    of: int
    examples: tuple[str, ...]
    move: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A domain as numbers; rows of `items` and `users` are those of the bundle to come.

    `impressions` are rows that carry labels but are no events (their type is 0): examples, never history.
    """

    name: str
    items: IdMap
    users: IdMap
    event_types: tuple[str, ...]  # type id = position + 1
    task_names: tuple[str, ...]  # pair tasks, the columns of labels
    context_names: tuple[str, ...]
    context_values: tuple[tuple[str, ...], ...]
    log: Log
    impressions: Log
    item_records: Records
    user_records: Records
    graph: KnowledgeGraph | None
    links: Links | None
    findings: tuple[Finding, ...]

    def fingerprint(self) -> str:
        """sha256 over ids and log: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        for names in (self.items.names, self.users.names, self.event_types, self.context_names):
            digest.update("\x00".join(names).encode() + b"\x01")
        for log in (self.log, self.impressions):
            for one in fields(log):
                digest.update(np.ascontiguousarray(getattr(log, one.name)).tobytes())
        return digest.hexdigest()

    def summary(self) -> dict[str, int | str]:
        """Counts and fingerprint, for the bundle's manifest."""
        counts = {"rows": len(self.log), "users": len(self.users), "items": len(self.items)}
        return counts | {"fingerprint": self.fingerprint()}

    def trained_items(self, *parts: int) -> NDArray[np.bool_]:
        """Which items have an event in the given parts (default: train), bool [N]."""
        seen = np.zeros(len(self.items), bool)
        seen[self.log.part(*(parts or (TRAIN,))).item] = True
        return seen
