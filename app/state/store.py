"""What the service keeps between requests: the protocol every state store has, and the records that cross it.

Two implementations pass one contract suite: `RedisStore` (Redis or Valkey, by URL or embedded) and `MemoryStore`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from model.events import Event
from model.features.spec import Values

HISTORY_LIMIT = 200  # newest events that `read_user` returns; the stored history itself is complete
EVENTS, IMPRESSIONS = "events", "impressions"  # the two kinds of streams
FOLLOW_LIMIT = 1_000  # most changes of one kind in one `follow`; `Changes.more` says there are others

Profile: TypeAlias = Mapping[str, Values]


def user_key(user_id: str | None, session_id: str | None = None) -> str:
    """The key of a user's state, or of an anonymous session's; ValueError when both are missing."""
    if user_id is not None:
        return f"u:{user_id}"
    if session_id is not None:
        return f"s:{session_id}"
    raise ValueError("user key: found neither user id nor session id; give one of them")


def event_key(event: Event) -> str:
    """The key of the user or session an event belongs to.

    An event is a session's when its `session_id` equals its `user`. A known user's event whose session id happens to
    equal the user id is therefore made with `session_id=None`.
    """
    return f"s:{event.user}" if event.session_id == event.user else f"u:{event.user}"


class PastEvent(NamedTuple):
    """What a request reads of an event: fields of `Event` under the same names, without the rest (it is hot)."""

    item_id: str
    type: str
    timestamp: float  # epoch seconds
    value: float | None = None
    context: str = ""  # the event's context as `pack_context` writes it


@dataclass(frozen=True, slots=True)
class UserState:
    """All that one request needs of a user, as of one moment.

    `version` grows with every event, profile change and erase (0: never seen). `vector` is the cached user vector
    (little-endian float32 bytes) as computed for `vector_version` by what `vector_stamp` names (a bundle version).
    """

    events: Sequence[PastEvent] = ()  # the newest HISTORY_LIMIT by timestamp, oldest first
    seen: frozenset[str] = frozenset()  # item ids of all events, not only of `events`
    profile: Profile | None = None
    vector: bytes | None = None
    vector_stamp: str = ""
    vector_version: int = 0
    version: int = 0
    erased_at: float | None = None  # epoch seconds; what the bundle knows of this user must be masked

    @property
    def erased(self) -> bool:
        """Whether the user was erased at some time; newer events may have followed."""
        return self.erased_at is not None

    @property
    def known(self) -> bool:
        """Whether the store holds anything of this user besides the mark of an erase."""
        return bool(self.events) or self.profile is not None

    def fresh_vector(self, stamp: str) -> bytes | None:
        """The cached vector when it is of this very version and stamp, else None."""
        return self.vector if self.vector_version == self.version and self.vector_stamp == stamp else None


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of one event: stored now, or known already under its id."""

    event_id: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class UserExport:
    """Everything held of one user: every accepted event, oldest first."""

    profile: Profile | None
    events: Sequence[Event]


def merge_profile(profile: Profile, changes: Mapping[str, Values | None]) -> Profile:
    """Top-level keys of `changes` over `profile`; None removes a key."""
    return {name: value for name, value in {**profile, **changes}.items() if value is not None}


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item put at run time, as it crosses to other workers and to later bundles.

    `text_vector` is the encoder's output (bytes, the writer's own dtype) and `encoder` the digest of what made it: a
    worker with another encoder encodes again. `version` is the place in the catalogue's change log, given by the store.
    """

    item_id: str
    text: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Values] = field(default_factory=dict)
    hidden: bool = False
    deleted: bool = False
    text_vector: bytes = b""
    encoder: str = ""
    updated: float = field(default_factory=time.time)  # epoch seconds
    version: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The impressions of one answer: item k was shown at position k with its score and propensity."""

    recommendation_id: str
    user: str  # user id or session id, as in Event
    timestamp: float
    item_ids: Sequence[str]
    scores: Sequence[float]
    propensities: Sequence[float]
    session_id: str | None = None
    bundle: str = ""
    context: Mapping[str, str | float | bool] = field(default_factory=dict)


def answer_key(answer: Answer) -> str:
    """The key of the user or session an answer went to; recommendation id when it had neither."""
    named = answer.user or None
    anonymous = named is not None and answer.session_id == answer.user
    return user_key(None if anonymous else named, answer.session_id or answer.recommendation_id)


@dataclass(frozen=True, slots=True)
class Activation:
    """One activation of a bundle; `time` is epoch seconds."""

    version: str
    time: float


@dataclass(frozen=True, slots=True)
class Cursors:
    """How far a follower has read; `Cursors()` is the beginning of everything that is still held."""

    items: int = 0
    events: tuple[str, ...] = ()  # opaque, one a partition


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """Items changed after a cursor, each once and as it is now, in order of change; tombstones included."""

    items: Sequence[StoredItem]
    cursor: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new since some cursors; `more` says that another `follow` would find something at once."""

    items: Sequence[StoredItem]
    events: Sequence[Event]
    active_bundle: str | None
    cursors: Cursors
    more: bool = False

    def __bool__(self) -> bool:
        return bool(self.items or self.events)


class UserStore(Protocol):
    """Users: histories, profiles, cached vectors."""

    async def read_user(self, user_key: str) -> UserState:
        """A user's state in one round trip; an empty UserState for a user never seen."""
        ...

    async def append(self, events: Sequence[Event]) -> list[Appended]:
        """Store events, each one in a single atomic step: history, seen items, version and the stream together.

        Idempotent by event id within a user. On StateError nothing is half-written, but events of the list before the
        failing one may be stored: sending the same list again is safe and completes it.
        """
        ...

    async def write_vector(self, user_key: str, vector: bytes, stamp: str, version: int) -> bool:
        """Cache a user vector computed for `version`; False when a newer one is there or the user was erased since."""
        ...

    async def put_profile(self, user_key: str, profile: Profile) -> bool:
        """Set a user's whole profile; True when there was none before."""
        ...

    async def patch_profile(self, user_key: str, changes: Mapping[str, Values | None]) -> Profile | None:
        """Merge top-level keys into a profile (None removes a key); the new profile, or None when there is none."""
        ...

    async def get_profile(self, user_key: str) -> Profile | None:
        """A user's profile, None when there is none."""
        ...

    async def export_user(self, user_key: str) -> UserExport | None:
        """Everything held of a user; None when nothing is (never seen, or erased and nothing since)."""
        ...

    async def erase_user(self, user_key: str) -> dict[str, int]:
        """Delete all that is held of a user; how many of each kind went.

        A mark with the time stays, so that the history inside the bundle is masked too. Keys: events, stream_entries
        (of those not yet exported), seen_items, profile, vector, answers.
        """
        ...


class CatalogueStore(Protocol):
    """Items put at run time and the active bundle, which every worker follows."""

    async def put_item(self, item: StoredItem, expected: int | None = None) -> int:
        """Store an item and note the change; its new version.

        With `expected` given, nothing is written and 0 is returned unless the stored version (0: none) is that one.
        """
        ...

    async def put_items(self, items: Sequence[StoredItem]) -> list[int]:
        """Store many items in one round trip; their new versions."""
        ...

    async def get_item(self, item_id: str) -> StoredItem | None:
        """An item as stored at run time, tombstones included; None when it was never put or deleted at run time."""
        ...

    async def delete_item(self, item_id: str) -> int:
        """Leave a tombstone, also for an item that only a bundle knows; its version."""
        ...

    async def items_since(self, cursor: int) -> ItemChanges:
        """Up to FOLLOW_LIMIT items changed after `cursor`; a cursor from a lost store starts again at 0."""
        ...

    async def all_items(self) -> list[StoredItem]:
        """Every item put or deleted at run time, in order of change."""
        ...

    async def active_bundle(self) -> str | None:
        """The version that was last activated, None when none was."""
        ...

    async def activate(self, version: str) -> None:
        """Make a bundle version the active one for every worker."""
        ...

    async def activations(self) -> list[Activation]:
        """The last 100 activations, newest first."""
        ...


class StateStore(UserStore, CatalogueStore, Protocol):
    """The whole state; every method raises StateError when the store is away or full."""

    async def follow(self, cursors: Cursors) -> Changes:
        """Item changes, events of all users and the active bundle after `cursors`; cheap when nothing happened."""
        ...

    async def newest(self) -> Cursors:
        """Cursors at the present end, for a follower that does not want the past."""
        ...

    async def log_impressions(self, answers: Sequence[Answer]) -> None:
        """Add answers to the impressions stream, whose length is bounded (the oldest go first)."""
        ...

    async def durability(self) -> str:
        """What an accepted event survives: aof-always, aof-everysec, aof-no, none, memory or unknown."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry as an exporter claims it; `record` is None when its user was erased since.

    `accepted` is when the store took it, in epoch seconds.
    """

    partition: int
    entry_id: str
    accepted: float
    record: Event | Answer | None


class ExportLog(Protocol):
    """The streams as `events export` reads them: claim, write, confirm, trim; a claim outlives a killed exporter.

    `kind` is EVENTS or IMPRESSIONS. `consumer` names one folder of exports: what one consumer has claimed, no other
    one is given.
    """

    async def claimed(self, kind: str, consumer: str) -> list[Entry]:
        """All that this consumer claimed before and never confirmed, by partition and age."""
        ...

    async def claim(self, kind: str, consumer: str, count: int) -> list[Entry]:
        """Up to `count` entries of each partition that nobody claimed before, claimed now; by partition and age."""
        ...

    async def confirm(self, kind: str, entries: Sequence[Entry]) -> None:
        """These entries are safely in a file."""
        ...

    async def claimed_elsewhere(self, kind: str, consumer: str) -> int:
        """How many entries other consumers claimed and never confirmed; they are kept until they do."""
        ...

    async def take_over(self, kind: str, consumer: str) -> int:
        """Make this consumer the owner of what others claimed and never confirmed; how many entries."""
        ...

    async def trim(self, kind: str, keep_s: float) -> int:
        """Drop confirmed entries that are older than `keep_s` seconds, up to the first unconfirmed one; how many."""
        ...

    async def erased(self) -> dict[str, float]:
        """Every erased user or session key with the time of its erase."""
        ...
