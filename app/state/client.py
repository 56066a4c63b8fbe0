"""Commands and scripts to one Redis, whatever its kind; every failure becomes a StateError with the next move."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis, RedisCluster, SentinelConnectionPool
from redis.exceptions import NoPermissionError, NoScriptError, OutOfMemoryError, RedisClusterException, RedisError

from app.state.scripts import DIGESTS, SOURCES
from app.state.urls import AnyRedis, endpoint
from app.state.wire import Wire, Words
from model.errors import StateError

WIRED = frozenset({"EVALSHA", "EVAL", "XADD"})  # whose replies redis-py would not parse either
FEW = 8  # commands that are sent among single requests
FAILURES = (RedisError, RedisClusterException, OSError, asyncio.TimeoutError)
LOGIN = ("username-password", "Authentication required", "WRONGPASS", "NOAUTH", "NOPERM")


def script(source: str, keys: Sequence[str], *arguments: str | bytes | int | float) -> Words:
    """The command that runs one of the scripts."""
    return ("EVALSHA", DIGESTS[source], len(keys), *keys, *arguments)


class Client:
    """A thin layer over redis-py: single commands, many at once, scripts that load themselves."""

    def __init__(self, redis: AnyRedis, timeout_s: float = 1.0) -> None:
        self._redis = redis
        self.cluster = isinstance(redis, RedisCluster)
        place = endpoint(redis)
        # Two, so that a request does not wait behind the reply to a long list.
        self._quick = Wire(place, timeout_s) if place else None
        self._bulk = Wire(place, timeout_s) if place else None

    async def one(self, words: Words) -> Any:
        """The reply to one command."""
        try:
            if self._quick is not None and words[0] in WIRED:
                return _or_raise((await self._quick.ask((words,)))[0])
            return await self._redis.execute_command(*words)
        except NoScriptError:
            return await self.one(_with_source(words))
        except FAILURES as error:
            raise state_error(error) from error

    async def everywhere(self, words: Words) -> list[Any]:
        """The replies of every primary node to one command."""
        if not isinstance(self._redis, RedisCluster):
            return [await self.one(words)]
        try:
            await self._redis.initialize()
            return [
                await self._redis.execute_command(*words, target_nodes=node) for node in self._redis.get_primaries()
            ]
        except FAILURES as error:
            raise state_error(error) from error

    async def many(self, calls: Sequence[Words], harmless: str = " ") -> list[Any]:
        """The replies to many commands, sent together; not a transaction.

        The first failure of any is raised as StateError, but for those whose message begins with `harmless`.
        """
        replies = await self._send(calls)
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = await self._send([_with_source(calls[place]) for place in unknown])
            for place, reply in zip(unknown, again, strict=True):
                replies[place] = reply
        for reply in replies:
            if isinstance(reply, Exception) and not str(reply).startswith(harmless):
                raise state_error(reply) from reply
        return replies

    async def _send(self, calls: Sequence[Words]) -> list[Any]:
        try:
            wire = self._quick if len(calls) <= FEW else self._bulk
            if wire is not None and calls and all(words[0] in WIRED for words in calls):
                return await wire.ask(calls)
            pipeline = self._redis.pipeline(transaction=False)
            for words in calls:
                pipeline.execute_command(*words)
            return list(await pipeline.execute(raise_on_error=False))
        except FAILURES as error:
            raise state_error(error) from error

    async def close(self) -> None:
        """Close all connections."""
        for wire in (self._quick, self._bulk):
            if wire is not None:
                await wire.close()
        await self._redis.aclose()
        for watcher in _sentinels(self._redis):
            await watcher.aclose()


def _or_raise(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply


def _sentinels(client: AnyRedis) -> list[Redis]:
    """The clients of the Sentinels that a client of their primary asks; it does not close them itself."""
    pool = None if isinstance(client, RedisCluster) else client.connection_pool
    return list(pool.sentinel_manager.sentinels) if isinstance(pool, SentinelConnectionPool) else []


def _with_source(words: Words) -> Words:
    """The same script call with its text: a server that restarted or took over has forgotten the digest."""
    return ("EVAL", SOURCES[words[1]], *words[2:])


def state_error(error: Exception) -> StateError:
    """The StateError for a failure of Redis: full, refused, or away."""
    found = f"{type(error).__name__}: {error}"
    if isinstance(error, OutOfMemoryError):
        move = "it is full: raise its maxmemory, or make room with `polyrank events export`"
    elif isinstance(error, NoPermissionError) or any(word in found for word in LOGIN):  # pools hide the class
        move = "check user and password in POLYRANK_REDIS_URL and what that user may do"
    else:
        move = "see that it runs and can be reached, then send this again"
    return StateError("state store", found, move)
