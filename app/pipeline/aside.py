"""What an answer leaves behind, written off its path: impressions to the stream, new user vectors to the state."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TypeVar

from app.state.store import Answer, StateStore
from model.errors import StateError

PENDING_MOST = 10_000  # of each kind; beyond it the oldest are given up, as no answer may wait for them
BATCH = 256
PAUSE_S = 0.02  # what comes meanwhile goes with the same write, at a quarter of the cost of one each

T = TypeVar("T")
logger = logging.getLogger("polyrank.aside")


@dataclass(frozen=True, slots=True)
class NewVector:
    """A user vector to keep: float32 bytes, its stamp, and the version of the state it answers for."""

    user_key: str
    vector: bytes
    stamp: str
    version: int


class Aside:
    """One background writer; `lost` counts what could not be written, since neither kind is worth a slower answer."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._answers: deque[Answer] = deque(maxlen=PENDING_MOST)
        self._vectors: deque[NewVector] = deque(maxlen=PENDING_MOST)
        self._writer: asyncio.Task[None] | None = None
        self.lost = 0

    def note(self, answer: Answer) -> None:
        """Log the impressions of one answer, soon."""
        self.lost += len(self._answers) == PENDING_MOST
        self._answers.append(answer)
        self._wake()

    def keep(self, vector: NewVector) -> None:
        """Write a user vector back, soon."""
        self.lost += len(self._vectors) == PENDING_MOST
        self._vectors.append(vector)
        self._wake()

    async def flush(self) -> None:
        """Return when everything handed over so far is written or given up."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])

    def _wake(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="aside")

    async def _write(self) -> None:
        while self._answers or self._vectors:
            await asyncio.sleep(PAUSE_S)
            answers, vectors = _taken(self._answers), _taken(self._vectors)
            try:
                await self._write_all(answers, vectors)
            except StateError as error:
                self.lost += len(answers) + len(vectors)
                logger.warning("impressions and vectors given up: %s", error)

    async def _write_all(self, answers: list[Answer], vectors: list[NewVector]) -> None:
        if answers:
            await self._store.log_impressions(answers)
        await asyncio.gather(
            *(self._store.write_vector(one.user_key, one.vector, one.stamp, one.version) for one in vectors)
        )


def _taken(pending: deque[T]) -> list[T]:
    return [pending.popleft() for _ in range(min(BATCH, len(pending)))]
