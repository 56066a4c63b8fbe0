"""The state in Redis or Valkey: users, catalogue and streams behind one client."""

from app.state.client import Client
from app.state.redis_catalogue import RedisCatalogue
from app.state.redis_streams import RedisStreams
from app.state.redis_users import RedisUsers
from app.state.urls import connect, is_synced
from model.errors import StateError

STRENGTH = ("unknown", "none", "aof-no", "aof-everysec", "aof-always")  # of a Cluster the weakest node counts


class RedisStore(RedisUsers, RedisCatalogue, RedisStreams):
    """A StateStore and ExportLog over any Redis; make one with `open_store`."""

    def __init__(self, client: Client, synced: bool = False, answers_limit: int = 100_000) -> None:
        RedisStreams.__init__(self, client, answers_limit)
        self._synced = synced

    async def durability(self) -> str:
        """aof-always, aof-everysec, aof-no or none, as Redis is configured; unknown where it does not say."""
        await self.ping()  # a Redis that keeps its settings to itself is not away, so one that is must show before
        try:
            switches, policies = await self._setting("appendonly"), await self._setting("appendfsync")
        except StateError:
            return "unknown"
        return min(map(self._promise, switches, policies), key=STRENGTH.index)

    async def _setting(self, name: str) -> list[str]:
        """A setting of every primary."""
        return [str(reply.get(name, "?")) for reply in await self._client.everywhere(("CONFIG GET", name))]

    def _promise(self, switch: str, policy: str) -> str:
        """What one server's two settings amount to."""
        if switch != "yes":
            return "none" if switch == "no" else "unknown"
        found = "aof-everysec" if policy == "no" and self._synced else f"aof-{policy}"
        return found if found in STRENGTH else "unknown"

    async def ping(self) -> None:
        """Return when the store answers."""
        await self._client.everywhere(("PING",))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def open_store(url: str, timeout_s: float = 1.0, answers_limit: int = 100_000) -> RedisStore:
    """The store at `url`, connected on first use; no call waits longer than about `timeout_s` for Redis.

    URLs: redis:// rediss:// unix:// redis+sentinel://host:port,host:port/NAME redis+cluster://host:port,host:port.
    Raises StateError when the URL is none of these.
    """
    return RedisStore(Client(connect(url, timeout_s), timeout_s), is_synced(url), answers_limit)
