"""`polyrank events export`: accepted events and impressions to Parquet, each exactly once, for the next training.

The streams' consumer group hands out entries (claim), they are written to a file that is replaced whole, and only then
confirmed and, after a while, trimmed. Killed in between, the next export finds its claim again and leaves out what
the file already holds. Users erased since are dropped from the file too.
"""

import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.state.rewrite import Written, rewrite
from app.state.store import EVENTS, IMPRESSIONS, Entry, ExportLog
from app.state.tables import ExportError, need_pyarrow, to_table

CLAIM = {EVENTS: 2_000, IMPRESSIONS: 200}  # entries of each partition in one round trip
HELD = {EVENTS: 200_000, IMPRESSIONS: 10_000}  # about so many entries are in memory and written at once
KEEP_S = 60.0  # confirmed entries stay so long for the workers that follow the streams


@dataclass(frozen=True, slots=True)
class ExportReceipt:
    """What an export did: `files` hold everything exported so far, the numbers are of this export.

    `repeated` rows were in the files already (an earlier export was killed), `purged` were of users erased since,
    `trimmed` entries left the streams, `elsewhere` are claimed by exports into other folders that did not end.
    """

    files: tuple[str, ...]
    events: int
    impressions: int
    repeated: int
    purged: int
    trimmed: int
    elsewhere: int


async def export_events(log: ExportLog, folder: Path, keep_s: float = KEEP_S, take_over: bool = False) -> ExportReceipt:
    """Move events and impressions to events.parquet and impressions.parquet in `folder`.

    `take_over` first claims what exports into other, lost folders left unfinished. Raises ExportError when pyarrow is
    missing or another export writes to the folder, StateError when the store is away.
    """
    need_pyarrow()
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        exporter = _Exporter(log, folder, _consumer(folder), await log.erased())
        if take_over:
            await exporter.take_over()
        found = {kind: await exporter.export(kind) for kind in (EVENTS, IMPRESSIONS)}
        trimmed = sum([await log.trim(kind, keep_s) for kind in found])
        return ExportReceipt(
            files=tuple(str(exporter.path(kind)) for kind in found if exporter.path(kind).exists()),
            events=found[EVENTS].added,
            impressions=found[IMPRESSIONS].added,
            repeated=sum(one.repeated for one in found.values()),
            purged=sum(one.purged for one in found.values()),
            trimmed=trimmed,
            elsewhere=sum([await log.claimed_elsewhere(kind, exporter.consumer) for kind in found]),
        )


@dataclass(frozen=True, slots=True)
class _Exporter:
    log: ExportLog
    folder: Path
    consumer: str
    erased: Mapping[str, float]

    def path(self, kind: str) -> Path:
        return self.folder / f"{kind}.parquet"

    async def take_over(self) -> None:
        for kind in (EVENTS, IMPRESSIONS):
            await self.log.take_over(kind, self.consumer)

    async def export(self, kind: str) -> Written:
        """Everything of one kind, some entries at a time; the first round finishes what a killed export began."""
        done = Written()
        entries = await self.log.claimed(kind, self.consumer)
        while True:
            entries += await self._claim(kind, HELD[kind] - len(entries))
            written = rewrite(self.path(kind), kind, to_table(kind, entries), self.erased)
            done = Written(done.added + written.added, done.repeated + written.repeated, done.purged + written.purged)
            if not entries:
                return done
            await self.log.confirm(kind, entries)
            entries = []

    async def _claim(self, kind: str, room: int) -> list[Entry]:
        """New entries until there are none or the room is taken."""
        found: list[Entry] = []
        while len(found) < room and (page := await self.log.claim(kind, self.consumer, CLAIM[kind])):
            found += page
        return found


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; ExportError when another export does."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(handle, folder)
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ExportError("export folder", str(folder), "another export is writing there; wait for its end") from None


def _consumer(folder: Path) -> str:
    """The folder's own name in the consumer group, made at its first export."""
    path = folder / ".consumer"
    if not path.exists():
        part = path.with_name(".consumer.part")
        part.write_text(uuid.uuid4().hex)
        part.replace(path)
    return path.read_text()
