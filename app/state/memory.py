"""The state inside one process: real, complete and as lawful as Redis, gone with the process."""

import time
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.state.packing import pack_context
from app.state.store import (
    EVENTS,
    FOLLOW_LIMIT,
    HISTORY_LIMIT,
    IMPRESSIONS,
    Activation,
    Answer,
    Appended,
    Changes,
    Cursors,
    Entry,
    ItemChanges,
    PastEvent,
    Profile,
    StoredItem,
    UserExport,
    UserState,
    answer_key,
    event_key,
    merge_profile,
)
from model.events import Event
from model.features.spec import Values


@dataclass(slots=True)
class _User:
    """One user: `log` holds (timestamp, order of acceptance, event), sorted."""

    log: list[tuple[float, int, Event]] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)  # event id → stream position
    seen: set[str] = field(default_factory=set)
    profile: Profile | None = None
    vector: tuple[bytes, str, int] | None = None
    version: int = 0


@dataclass(slots=True)
class _Stream:
    """Entries by position, and which of them an exporter claimed or confirmed."""

    entries: dict[int, Event | Answer] = field(default_factory=dict)
    claims: dict[int, str] = field(default_factory=dict)  # unconfirmed position → consumer
    times: dict[int, float] = field(default_factory=dict)
    last: int = 0
    claimed_to: int = 0

    def add(self, record: Event | Answer) -> int:
        self.last += 1
        self.entries[self.last] = record
        self.times[self.last] = time.time()
        return self.last

    def drop(self, position: int) -> bool:
        return self.entries.pop(position, None) is not None

    def entry(self, position: int) -> Entry:
        return Entry(0, str(position), self.times[position], self.entries.get(position))


class MemoryStore:
    """A StateStore and ExportLog in this process; `answers_limit` bounds the impressions stream."""

    def __init__(self, answers_limit: int = 100_000) -> None:
        self._users: dict[str, _User] = {}
        self._marks: dict[str, tuple[float, int]] = {}  # erased user key → time, version
        self._items: dict[str, StoredItem] = {}  # in order of change
        self._activations: list[Activation] = []
        self._streams: dict[str, _Stream] = {EVENTS: _Stream(), IMPRESSIONS: _Stream()}
        self._answers_limit = answers_limit
        self._counter = 0

    def _next(self) -> int:
        self._counter += 1
        return self._counter

    async def read_user(self, user_key: str) -> UserState:
        """A user's state; an empty one for a user never seen."""
        user, (erased_at, floor) = self._users.get(user_key, _User()), self._marks.get(user_key, (None, 0))
        vector, stamp, vector_version = user.vector or (None, "", 0)
        return UserState(
            events=[_past(event) for _, _, event in user.log[-HISTORY_LIMIT:]],
            seen=frozenset(user.seen),
            profile=user.profile,
            vector=vector,
            vector_stamp=stamp,
            vector_version=vector_version,
            version=max(user.version, floor),
            erased_at=erased_at,
        )

    async def append(self, events: Sequence[Event]) -> list[Appended]:
        """Store events; idempotent by event id within a user."""
        return [Appended(event.event_id, not self._append(event)) for event in events]

    def _append(self, event: Event) -> bool:
        user = self._users.setdefault(event_key(event), _User())
        if event.event_id in user.ids:
            return False
        user.version = self._next()
        user.ids[event.event_id] = self._streams[EVENTS].add(event)
        if event.target == "item":  # a user's id may be that of an item
            user.seen.add(event.item_id)
        insort(user.log, (event.timestamp, user.version, event))
        return True

    async def write_vector(self, user_key: str, vector: bytes, stamp: str, version: int) -> bool:
        """Cache a user vector; False when a newer one is there or the user was erased since."""
        user = self._users.setdefault(user_key, _User())
        newest = user.vector[2] if user.vector else 0
        if version < max(newest, self._marks.get(user_key, (0.0, 0))[1]):
            return False
        user.vector = (vector, stamp, version)
        return True

    async def put_profile(self, user_key: str, profile: Profile) -> bool:
        """Set a user's whole profile; True when there was none before."""
        user = self._users.setdefault(user_key, _User())
        created, user.profile, user.version = user.profile is None, dict(profile), self._next()
        return created

    async def patch_profile(self, user_key: str, changes: Mapping[str, Values | None]) -> Profile | None:
        """Merge top-level keys into a profile (None removes a key); None when there is no profile."""
        profile = await self.get_profile(user_key)
        if profile is None:
            return None
        merged = merge_profile(profile, changes)
        await self.put_profile(user_key, merged)
        return merged

    async def get_profile(self, user_key: str) -> Profile | None:
        """A user's profile, None when there is none."""
        return self._users.get(user_key, _User()).profile

    async def export_user(self, user_key: str) -> UserExport | None:
        """Everything held of a user; None when nothing is."""
        user = self._users.get(user_key, _User())
        if not user.log and user.profile is None:
            return None
        return UserExport(user.profile, [event for _, _, event in user.log])

    async def erase_user(self, user_key: str) -> dict[str, int]:
        """Delete all that is held of a user and leave the mark."""
        user = self._users.pop(user_key, _User())
        self._marks[user_key] = (time.time(), self._next())
        return {
            "events": len(user.log),
            "stream_entries": sum(self._streams[EVENTS].drop(position) for position in user.ids.values()),
            "seen_items": len(user.seen),
            "profile": int(user.profile is not None),
            "vector": int(user.vector is not None),
            "answers": self._drop_answers(user_key),
        }

    def _drop_answers(self, key: str) -> int:
        stream = self._streams[IMPRESSIONS]
        theirs = [
            at for at, record in stream.entries.items() if isinstance(record, Answer) and answer_key(record) == key
        ]
        return sum(stream.drop(position) for position in theirs)

    async def put_item(self, item: StoredItem, expected: int | None = None) -> int:
        """Store an item and note the change; 0 when `expected` is not the stored version."""
        before = self._items.get(item.item_id)
        if expected is not None and expected != (before.version if before else 0):
            return 0
        self._items.pop(item.item_id, None)
        self._items[item.item_id] = replace(item, version=self._next())
        return self._counter

    async def put_items(self, items: Sequence[StoredItem]) -> list[int]:
        """Store many items; their new versions."""
        return [await self.put_item(item) for item in items]

    async def get_item(self, item_id: str) -> StoredItem | None:
        """An item as stored at run time, tombstones included."""
        return self._items.get(item_id)

    async def delete_item(self, item_id: str) -> int:
        """Leave a tombstone; its version."""
        return await self.put_item(StoredItem(item_id, deleted=True))

    async def items_since(self, cursor: int) -> ItemChanges:
        """Up to FOLLOW_LIMIT items changed after `cursor`."""
        start = cursor if cursor <= self._counter else 0
        items = [item for item in self._items.values() if item.version > start][:FOLLOW_LIMIT]
        return ItemChanges(items, items[-1].version if items else start)

    async def all_items(self) -> list[StoredItem]:
        """Every item put or deleted at run time, in order of change."""
        return list(self._items.values())

    async def active_bundle(self) -> str | None:
        """The version that was last activated."""
        return self._activations[0].version if self._activations else None

    async def activate(self, version: str) -> None:
        """Make a bundle version the active one."""
        self._activations.insert(0, Activation(version, time.time()))
        del self._activations[100:]

    async def activations(self) -> list[Activation]:
        """The last 100 activations, newest first."""
        return list(self._activations)

    async def follow(self, cursors: Cursors) -> Changes:
        """What changed after `cursors`."""
        items = await self.items_since(cursors.items)
        stream, after = self._streams[EVENTS], int(cursors.events[0]) if cursors.events else 0
        positions = [position for position in stream.entries if position > after][:FOLLOW_LIMIT]
        events = [record for at in positions if isinstance(record := stream.entries[at], Event)]
        ends = Cursors(items.cursor, (str(positions[-1] if positions else after),))
        more = len(items.items) == FOLLOW_LIMIT or len(positions) == FOLLOW_LIMIT
        return Changes(items.items, events, await self.active_bundle(), ends, more)

    async def newest(self) -> Cursors:
        """Cursors at the present end."""
        return Cursors(self._counter, (str(self._streams[EVENTS].last),))

    async def log_impressions(self, answers: Sequence[Answer]) -> None:
        """Add answers to the bounded impressions stream."""
        stream = self._streams[IMPRESSIONS]
        for answer in answers:
            stream.add(answer)
        for position in list(stream.entries)[: max(len(stream.entries) - self._answers_limit, 0)]:
            stream.drop(position)

    async def claimed(self, kind: str, consumer: str) -> list[Entry]:
        """All that this consumer claimed and never confirmed."""
        stream = self._streams[kind]
        return [stream.entry(at) for at, who in stream.claims.items() if who == consumer]

    async def claim(self, kind: str, consumer: str, count: int) -> list[Entry]:
        """Up to `count` entries that nobody claimed before."""
        stream = self._streams[kind]
        fresh = [at for at in stream.entries if at > stream.claimed_to][:count]
        stream.claims |= dict.fromkeys(fresh, consumer)
        stream.claimed_to = fresh[-1] if fresh else stream.claimed_to
        return [stream.entry(at) for at in fresh]

    async def confirm(self, kind: str, entries: Sequence[Entry]) -> None:
        """These entries are safely in a file."""
        for entry in entries:
            self._streams[kind].claims.pop(int(entry.entry_id), None)

    async def claimed_elsewhere(self, kind: str, consumer: str) -> int:
        """How many entries other consumers claimed and never confirmed."""
        return sum(who != consumer for who in self._streams[kind].claims.values())

    async def take_over(self, kind: str, consumer: str) -> int:
        """Make this consumer the owner of what others claimed."""
        taken = await self.claimed_elsewhere(kind, consumer)
        self._streams[kind].claims = dict.fromkeys(self._streams[kind].claims, consumer)
        return taken

    async def trim(self, kind: str, keep_s: float) -> int:
        """Drop confirmed entries older than `keep_s` seconds, up to the first unconfirmed one."""
        stream, limit = self._streams[kind], time.time() - keep_s
        end = min(stream.claims, default=stream.claimed_to + 1)
        return sum(stream.drop(at) for at in list(stream.entries) if at < end and stream.times[at] <= limit)

    async def erased(self) -> dict[str, float]:
        """Every erased key with the time of its erase."""
        return {key: at for key, (at, _) in self._marks.items()}

    async def durability(self) -> str:
        """An accepted event lives as long as this process."""
        return "memory"

    async def ping(self) -> None:
        """Memory always answers."""

    async def close(self) -> None:
        """Nothing to let go of."""


def _past(event: Event) -> PastEvent:
    return PastEvent(event.item_id, event.type, event.timestamp, event.value, pack_context(event.context))
