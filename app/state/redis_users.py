"""Users in Redis: one script a step, all keys of a user in one slot."""

from collections.abc import Mapping, Sequence

from app.state import scripts
from app.state.client import Client, script
from app.state.keys import stream, user_keys
from app.state.packing import pack_event, pack_past, pack_profile, unpack_event, unpack_past, unpack_profile
from app.state.store import (
    EVENTS,
    HISTORY_LIMIT,
    IMPRESSIONS,
    Appended,
    Profile,
    UserExport,
    UserState,
    event_key,
    merge_profile,
)
from app.state.wire import Words
from model.events import Event
from model.features.spec import Values

PAGE = 1_000  # stream entries looked at in one round trip of an erase


class RedisUsers:
    """A UserStore over Redis."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read_user(self, user_key: str) -> UserState:
        """A user's state in one round trip; an empty UserState for a user never seen."""
        keys = user_keys(user_key)
        names = (keys.meta, keys.log, keys.seen, keys.erased)
        version, profile, vector, stamp, vector_version, mark, events, seen = await self._client.one(
            script(scripts.READ, names, user_key, HISTORY_LIMIT)
        )
        floor, erased_at = _mark(mark)
        return UserState(
            unpack_past(events),
            frozenset(seen.decode().split("\0")) if seen else frozenset(),
            unpack_profile(profile),
            vector,
            stamp.decode() if stamp else "",
            int(vector_version or 0),
            int(version or floor),
            erased_at,
        )

    async def append(self, events: Sequence[Event]) -> list[Appended]:
        """Store events in one pipeline of atomic steps; idempotent by event id within a user."""
        replies = await self._client.many([_append(event) for event in events])
        return [Appended(event.event_id, reply == 0) for event, reply in zip(events, replies, strict=True)]

    async def write_vector(self, user_key: str, vector: bytes, stamp: str, version: int) -> bool:
        """Cache a user vector; False when a newer one is there or the user was erased since."""
        keys = user_keys(user_key)
        call = script(scripts.WRITE_VECTOR, (keys.meta, keys.erased), user_key, vector, stamp, version)
        return bool(await self._client.one(call))

    async def put_profile(self, user_key: str, profile: Profile) -> bool:
        """Set a user's whole profile; True when there was none before."""
        return await self._put_profile(user_key, pack_profile(profile)) == 1

    async def _put_profile(self, user_key: str, packed: bytes, expected: bytes = b"") -> int:
        keys = user_keys(user_key)
        return int(await self._client.one(script(scripts.PUT_PROFILE, (keys.meta, keys.sequence), packed, expected)))

    async def patch_profile(self, user_key: str, changes: Mapping[str, Values | None]) -> Profile | None:
        """Merge top-level keys into a profile (None removes a key); None when there is no profile."""
        while (old := await self._profile(user_key)) is not None:
            merged = merge_profile(unpack_profile(old) or {}, changes)
            if await self._put_profile(user_key, pack_profile(merged), old) >= 0:
                return merged
        return None

    async def get_profile(self, user_key: str) -> Profile | None:
        """A user's profile, None when there is none."""
        return unpack_profile(await self._profile(user_key))

    async def _profile(self, user_key: str) -> bytes | None:
        packed: bytes | None = await self._client.one(("HGET", user_keys(user_key).meta, "p"))
        return packed

    async def export_user(self, user_key: str) -> UserExport | None:
        """Everything held of a user; None when nothing is."""
        keys = user_keys(user_key)
        profile, packed = await self._client.many([("HGET", keys.meta, "p"), ("HVALS", keys.ids)])
        if profile is None and not packed:
            return None
        return UserExport(unpack_profile(profile), _in_order(packed))

    async def erase_user(self, user_key: str) -> dict[str, int]:
        """Delete all that is held of a user, in one step but for the impressions, and leave the mark."""
        keys = user_keys(user_key)
        names = (*keys[:5], stream(EVENTS, keys.partition), keys.erased)
        found = await self._client.one(script(scripts.ERASE, names, user_key))
        kinds = ("events", "stream_entries", "seen_items", "profile", "vector")
        answers = await self._erase_answers(stream(IMPRESSIONS, keys.partition), user_key.encode())
        return {**dict(zip(kinds, found, strict=True)), "answers": answers}

    async def _erase_answers(self, name: str, user_key: bytes) -> int:
        """Delete a user's entries of an impressions stream; it is bounded, so it is read through."""
        start, count = "-", 0
        while page := await self._client.one(("XRANGE", name, start, "+", "COUNT", PAGE)):
            theirs = [entry_id for entry_id, fields in page if fields[b"k"] == user_key]
            count += await self._client.one(("XDEL", name, *theirs)) if theirs else 0
            start = f"({page[-1][0].decode()}"
        return count


def _append(event: Event) -> Words:
    key = event_key(event)
    keys = user_keys(key)
    names = (*keys[:5], stream(EVENTS, keys.partition))
    packed, time_ = pack_event(event), repr(float(event.timestamp))
    seen = event.item_id if event.target == "item" else ""  # a user's id may be that of an item
    return script(scripts.APPEND, names, event.event_id, packed, pack_past(event), time_, seen, key)


def _mark(packed: bytes | None) -> tuple[int, float | None]:
    """Version and time of an erase; 0 and None without one."""
    if packed is None:
        return 0, None
    version, at = packed.split()
    return int(version), float(at)


def _in_order(packed: Sequence[bytes]) -> list[Event]:
    """Events oldest first, those of one timestamp in order of acceptance, which is that of their stream ids."""
    found = []
    for line in packed:
        entry_id, _, data = line.partition(b" ")
        milliseconds, _, number = entry_id.partition(b"-")
        event = unpack_event(data)
        found.append((event.timestamp, int(milliseconds), int(number), event))
    return [event for *_, event in sorted(found, key=lambda one: one[:3])]
