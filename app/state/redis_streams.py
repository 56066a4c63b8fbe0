"""Event and impression streams in Redis: what workers follow, and what `events export` claims, confirms and trims.

A stream entry is never moved: confirmed means acknowledged in the consumer group, trimmed means dropped after that.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.state.client import Client
from app.state.keys import ERASED, PARTITIONS, partition_of, stream, streams
from app.state.packing import pack_answer, unpack_answer, unpack_event
from app.state.redis_catalogue import item_changes, since
from app.state.store import EVENTS, FOLLOW_LIMIT, IMPRESSIONS, Answer, Changes, Cursors, Entry, answer_key
from app.state.wire import Words
from model.events import Event

GROUP = "export"
BEGINNING = "0-0"
BEGINNINGS = (BEGINNING,) * PARTITIONS
PAGE = 1_000  # ids in one command
_PARTITIONS = {name.encode(): partition for partition, name in enumerate(streams(EVENTS))}
_UNPACK: dict[str, Callable[[bytes], Event | Answer]] = {EVENTS: unpack_event, IMPRESSIONS: unpack_answer}


class RedisStreams:
    """Following, impressions and the ExportLog over Redis; `answers_limit` bounds the impressions of all users."""

    def __init__(self, client: Client, answers_limit: int = 100_000) -> None:
        self._client = client
        self._answers_limit = max(answers_limit // PARTITIONS, 1)

    async def follow(self, cursors: Cursors) -> Changes:
        """What changed after `cursors`, in one round trip (in Cluster one a node)."""
        ends = list(cursors.events or BEGINNINGS)
        reply, *pages = await self._client.many([since(cursors.items), *self._reads(ends)])
        items, active = item_changes(reply)
        found = [(_PARTITIONS[name], entries) for page in pages for name, entries in page or ()]
        for partition, entries in found:
            ends[partition] = entries[-1][0].decode()
        events = [unpack_event(fields[b"d"]) for _, entries in found for _, fields in entries]
        more = len(items.items) == FOLLOW_LIMIT or any(len(entries) == FOLLOW_LIMIT for _, entries in found)
        return Changes(items.items, events, active, Cursors(items.cursor, tuple(ends)), more)

    def _reads(self, ends: Sequence[str]) -> list[Words]:
        """One command for all streams; in Cluster, where they lie in many slots, one for each."""
        names = streams(EVENTS)
        head = ("XREAD", "COUNT", FOLLOW_LIMIT, "STREAMS")
        if self._client.cluster:
            return [(*head, name, end) for name, end in zip(names, ends, strict=True)]
        return [(*head, *names, *ends)]

    async def newest(self) -> Cursors:
        """Cursors at the present end."""
        lasts = await self._client.many([("XREVRANGE", name, "+", "-", "COUNT", 1) for name in streams(EVENTS)])
        cursor, more = 0, True
        while more:
            changes, _ = item_changes(await self._client.one(since(cursor)))
            cursor, more = changes.cursor, bool(changes.items)
        return Cursors(cursor, tuple(entries[0][0].decode() if entries else BEGINNING for entries in lasts))

    async def log_impressions(self, answers: Sequence[Answer]) -> None:
        """Add answers to the bounded impressions stream, in one round trip."""
        if answers:
            await self._client.many([self._add(answer) for answer in answers])

    def _add(self, answer: Answer) -> Words:
        key = answer_key(answer)
        name = stream(IMPRESSIONS, partition_of(key))
        return ("XADD", name, "MAXLEN", "~", self._answers_limit, "*", "k", key, "d", pack_answer(answer))

    async def claimed(self, kind: str, consumer: str) -> list[Entry]:
        """All that this consumer claimed before and never confirmed; entries of erased users without record."""
        await self._make_groups(kind)
        found: list[Entry] = []
        for partition, name in enumerate(streams(kind)):
            start = BEGINNING
            while page := _page(await self._client.one(_group_read(consumer, name, start, PAGE))):
                found += [_entry(kind, partition, one) for one in page]
                start = page[-1][0].decode()
        return found

    async def claim(self, kind: str, consumer: str, count: int) -> list[Entry]:
        """Up to `count` entries of each partition that nobody claimed before."""
        await self._make_groups(kind)
        replies = await self._client.many([_group_read(consumer, name, ">", count) for name in streams(kind)])
        return [_entry(kind, place, one) for place, reply in enumerate(replies) for one in _page(reply)]

    async def _make_groups(self, kind: str) -> None:
        calls: list[Words] = [("XGROUP", "CREATE", name, GROUP, 0, "MKSTREAM") for name in streams(kind)]
        await self._client.many(calls, harmless="BUSYGROUP")  # there already

    async def confirm(self, kind: str, entries: Sequence[Entry]) -> None:
        """These entries are safely in a file."""
        by_partition: dict[int, list[str]] = defaultdict(list)
        for entry in entries:
            by_partition[entry.partition].append(entry.entry_id)
        calls: list[Words] = [
            ("XACK", stream(kind, partition), GROUP, *ids[start : start + PAGE])
            for partition, ids in by_partition.items()
            for start in range(0, len(ids), PAGE)
        ]
        if calls:
            await self._client.many(calls)

    async def claimed_elsewhere(self, kind: str, consumer: str) -> int:
        """How many entries other consumers claimed and never confirmed."""
        await self._make_groups(kind)
        pending = await self._client.many([("XPENDING", name, GROUP) for name in streams(kind)])
        owners = [owner for summary in pending for owner in summary["consumers"]]
        return sum(int(owner["pending"]) for owner in owners if owner["name"] != consumer.encode())

    async def take_over(self, kind: str, consumer: str) -> int:
        """Make this consumer the owner of what others claimed and never confirmed."""
        taken = await self.claimed_elsewhere(kind, consumer)
        for name in streams(kind):
            cursor, done = BEGINNING, False
            while not done:
                reply = await self._client.one(("XAUTOCLAIM", name, GROUP, consumer, 0, cursor, "COUNT", PAGE))
                cursor = reply[0].decode()
                done = cursor == BEGINNING
        return taken

    async def trim(self, kind: str, keep_s: float) -> int:
        """Drop confirmed entries older than `keep_s` seconds, up to the first unconfirmed one."""
        await self._make_groups(kind)
        oldest = f"{max(int((time.time() - keep_s) * 1000), 0)}-0"
        names = streams(kind)
        # In this order: what another export claims in between lies after the first answer or in the second.
        groups = await self._client.many([("XINFO", "GROUPS", name) for name in names])
        pending = await self._client.many([("XPENDING", name, GROUP) for name in names])
        ends = [min(_first_unconfirmed(*one), oldest, key=_order) for one in zip(pending, groups, strict=True)]
        trims: list[Words] = [("XTRIM", name, "MINID", "=", end) for name, end in zip(names, ends, strict=True)]
        return sum(await self._client.many(trims))

    async def erased(self) -> dict[str, float]:
        """Every erased key with the time of its erase."""
        marks = await self._client.many([("HGETALL", name) for name in ERASED])
        return {key.decode(): float(mark.split()[1]) for part in marks for key, mark in part.items()}


def _group_read(consumer: str, name: str, start: str, count: int) -> Words:
    return ("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count, "STREAMS", name, start)


def _page(reply: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries in the reply to a read of one stream."""
    return list(reply[0][1]) if reply else []


def _entry(kind: str, partition: int, entry: tuple[bytes, dict[bytes, bytes]]) -> Entry:
    entry_id, record = entry[0].decode(), _UNPACK[kind](entry[1][b"d"]) if entry[1] else None
    return Entry(partition, entry_id, _order(entry_id)[0] / 1000, record)


def _first_unconfirmed(pending: Mapping[str, Any], groups: Sequence[Sequence[Any]]) -> str:
    """The id before which everything is confirmed: the first pending one, or the one after the last delivered."""
    if pending["min"] is not None:
        return str(pending["min"].decode())
    milliseconds, _, number = _last_delivered(groups).partition("-")
    return f"{milliseconds}-{int(number) + 1}"


def _last_delivered(groups: Sequence[Sequence[Any]]) -> str:
    """The id up to which the export group was given entries, from the reply to XINFO GROUPS."""
    tables = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in groups]
    return next(str(one[b"last-delivered-id"].decode()) for one in tables if one[b"name"] == GROUP.encode())


def _order(entry_id: str) -> tuple[int, int]:
    """A stream id as numbers that compare."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
