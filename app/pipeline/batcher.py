"""Requests that come at nearly the same time are answered together, which takes less than one after another."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

MOMENT_S = 0.002  # longest wait for those who are about to ask: a round trip to the state takes less

A = TypeVar("A")
R = TypeVar("R")


class Batcher(Generic[A, R]):
    """Gathers questions into batches; one batch is under way at a time, and the next gathers meanwhile.

    A batch leaves as soon as `most()` questions wait, or the first of them has waited for `wait_s` seconds. With 0 it
    waits for nobody but those who are about to ask (`expected`), and for them a moment at most: they have come already,
    and would find the event loop taken by a batch of one. `answer` gives one answer a question, in their order; an
    exception in place of an answer is raised to who asked, and one that `answer` raises to all of the batch.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[A]], Awaitable[Sequence[R | Exception]]],
        most: Callable[[], int],
        wait_s: float,
    ) -> None:
        self._answer, self._most, self._wait_s = answer, most, wait_s
        self._waiting: deque[tuple[A, float, asyncio.Future[R]]] = deque()
        self._full, self._here = asyncio.Event(), asyncio.Event()
        self._expected = 0
        self._work: asyncio.Task[None] | None = None

    async def ask(self, question: A) -> R:
        """The answer. Who stops waiting before the batch has left is taken out of it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((question, loop.time(), future))
        if len(self._waiting) >= self._most():
            self._full.set()
            self._here.set()
        if self._work is None or self._work.done():
            self._work = loop.create_task(self._run(), name="batches")
        return await future

    @contextmanager
    def expected(self) -> Iterator[None]:
        """While somebody gets ready to ask."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1
            if not self._expected:
                self._here.set()

    async def close(self) -> None:
        """Return when nothing is under way any more."""
        if self._work is not None:
            await asyncio.gather(self._work, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            await self._gathered()
            batch = self._leaving()
            if batch:
                await self._answered(batch)

    async def _gathered(self) -> None:
        """Wait until a batch may leave."""
        if self._wait_s:
            await self._until(self._full, self._waiting[0][1] + self._wait_s)
        elif self._expected:
            await self._until(self._here, asyncio.get_running_loop().time() + MOMENT_S)

    async def _until(self, event: asyncio.Event, due: float) -> None:
        """Wait for the event, which a full batch sets too, or for the loop's time `due`."""
        if len(self._waiting) < self._most():
            event.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await event.wait()

    def _leaving(self) -> list[tuple[A, asyncio.Future[R]]]:
        batch: list[tuple[A, asyncio.Future[R]]] = []
        most = self._most()
        while self._waiting and len(batch) < most:
            question, _, future = self._waiting.popleft()
            if not future.done():
                batch.append((question, future))
        return batch

    async def _answered(self, batch: Sequence[tuple[A, asyncio.Future[R]]]) -> None:
        answers: Sequence[R | Exception]
        try:
            answers = await self._answer([question for question, _ in batch])
        except Exception as error:  # whatever it is, it is theirs who asked: the next batch goes on
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
