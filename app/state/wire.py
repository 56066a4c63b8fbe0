"""A lean connection to one Redis for the hot path: many requests of a worker share it, replies come in order.

redis-py spends some 250 µs of CPU on a command (pool, retries, timeouts, metrics of its own), this about 50. It speaks
what scripts answer (RESP2, unparsed); everything else, and TLS, Sentinel and Cluster, stays with redis-py.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import hiredis
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,  # noqa: A004 - what redis-py raises, so that both ways fail alike
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
)

Words: TypeAlias = tuple[Any, ...]
ERRORS: dict[str, type[RedisError]] = {
    "NOSCRIPT": NoScriptError,
    "OOM": OutOfMemoryError,
    "LOADING": BusyLoadingError,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a Redis listens, and how to introduce oneself: `path` of a socket, or host and port."""

    path: str | None
    host: str
    port: int
    login: tuple[str, ...] = ()  # the arguments of AUTH
    db: int = 0


@dataclass(slots=True)
class _Asked:
    """Commands on their way: `count` replies are due by `deadline` (loop time)."""

    answer: asyncio.Future[list[Any]]
    count: int
    deadline: float
    replies: list[Any] = field(default_factory=list)


class _Link(asyncio.Protocol):
    """One open connection."""

    def __init__(self, timeout_s: float) -> None:
        self._reader = hiredis.Reader(replyError=_reply_error, protocolError=_protocol_error)
        self._asked: deque[_Asked] = deque()
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.closed = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def ask(self, calls: Sequence[Words]) -> "asyncio.Future[list[Any]]":
        """Send commands together; the future of their replies, in which errors are values."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        asked = _Asked(self._loop.create_future(), len(calls), self._loop.time() + self._timeout_s)
        self._asked.append(asked)
        self._transport.write(b"".join([hiredis.pack_command(words) for words in calls]))
        if self._alarm is None:
            self._alarm = self._loop.call_at(asked.deadline, self._look)
        return asked.answer

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._take(reply)
        except RedisError as error:
            self.close(error)

    def _take(self, reply: Any) -> None:
        asked = self._asked[0]
        asked.replies.append(reply)
        if len(asked.replies) == asked.count:
            self._asked.popleft()
            if not asked.answer.done():  # whoever asked may have been cancelled
                asked.answer.set_result(asked.replies)

    def _look(self) -> None:
        """Close the connection when the oldest replies are overdue, else look again when they would be."""
        self._alarm = None
        if not self._asked:
            return
        if self._asked[0].deadline <= self._loop.time():
            self.close(TimeoutError(f"no reply within {self._timeout_s} s"))
        else:
            self._alarm = self._loop.call_at(self._asked[0].deadline, self._look)

    def connection_lost(self, error: Exception | None) -> None:
        self.close(ConnectionError(str(error or "the server closed the connection")))
        self.closed.set_result(None)

    def close(self, error: Exception) -> None:
        """Close the connection; whatever was asked and not answered fails with `error`."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._transport is not None:
            self._transport.abort()
        while self._asked:
            answer = self._asked.popleft().answer
            if not answer.done():
                answer.set_exception(error)


class Wire:
    """A connection that is opened when first used and again after it was lost."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._endpoint, self._timeout_s = endpoint, timeout_s
        self._link: _Link | None = None
        self._opening = asyncio.Lock()

    async def ask(self, calls: Sequence[Words]) -> list[Any]:
        """The replies to commands sent together; error replies are values (redis-py's exceptions).

        Asks once more when the connection is lost meanwhile, so ask nothing that must not be done twice. Raises
        redis-py's ConnectionError and TimeoutError.
        """
        try:
            return await (self._open_link() or await self._connect()).ask(calls)
        except ConnectionError:
            return await (await self._connect()).ask(calls)

    def _open_link(self) -> _Link | None:
        link = self._link
        return None if link is None or link.closed.done() else link

    async def _connect(self) -> _Link:
        async with self._opening:
            if (link := self._open_link()) is None:
                link = self._link = await self._new_link()
            return link

    async def _new_link(self) -> _Link:
        place, loop = self._endpoint, asyncio.get_running_loop()
        link = _Link(self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                if place.path is not None:
                    await loop.create_unix_connection(lambda: link, place.path)
                else:
                    await loop.create_connection(lambda: link, place.host, place.port)
        except OSError as error:  # asyncio's own TimeoutError is one
            raise ConnectionError(f"cannot connect: {error or 'no answer'}") from error
        await self._introduce(link)
        return link

    async def _introduce(self, link: _Link) -> None:
        """Log in and choose the database, as far as the URL asks for it."""
        calls: list[Words] = [("AUTH", *self._endpoint.login)] if self._endpoint.login else []
        calls += [("SELECT", self._endpoint.db)] if self._endpoint.db else []
        for reply in await link.ask(calls) if calls else ():
            if isinstance(reply, RedisError):
                link.close(reply)
                raise reply

    async def close(self) -> None:
        """Close the connection and wait until it is."""
        if self._link is not None:
            self._link.close(ConnectionError("the store was closed"))
            await self._link.closed
        self._link = None


def _reply_error(message: str) -> RedisError:
    return ERRORS.get(message.partition(" ")[0], ResponseError)(message)


def _protocol_error(message: str) -> RedisError:
    return ConnectionError(message)
