"""From a URL to a client: one Redis, a Sentinel's primary, or a Cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from redis.asyncio import (
    BlockingConnectionPool,
    Redis,
    RedisCluster,
    Sentinel,
    SentinelConnectionPool,
    SSLConnection,
)
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.state.wire import Endpoint
from model.errors import StateError

KINDS = "redis:// rediss:// unix:// redis+sentinel:// rediss+sentinel:// redis+cluster:// rediss+cluster://"
SYNCED = "synced"  # unix://…?synced=1: whoever started this Valkey syncs its append-only file every second
CONNECTIONS = 64
AnyRedis = Redis | RedisCluster


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart; `parts` are host and port of each node."""

    kind: str
    nodes: tuple[tuple[str, int], ...]
    path: tuple[str, ...]
    login: dict[str, str]
    options: dict[str, str]


def connect(url: str, timeout_s: float = 1.0) -> AnyRedis:
    """A client for `url` that connects when first used; StateError when the URL is none of KINDS."""
    kind = url.partition("://")[0] if "://" in url else ""
    if kind in ("redis", "rediss", "unix"):
        return _single(url, timeout_s)
    if kind.partition("+")[2] in ("sentinel", "cluster") and kind.startswith(("redis+", "rediss+")):
        address = parse(url)
        return (_sentinel if "sentinel" in kind else _cluster)(address, timeout_s)
    raise StateError("POLYRANK_REDIS_URL", f"{kind}://…", f"give one of {KINDS}")


def endpoint(client: AnyRedis) -> Endpoint | None:
    """Where a client's one server listens without TLS; None when there are several or it speaks TLS."""
    pool = None if isinstance(client, RedisCluster) else client.connection_pool
    if pool is None or isinstance(pool, SentinelConnectionPool) or issubclass(pool.connection_class, SSLConnection):
        return None
    known = pool.connection_kwargs
    login = tuple(str(known[name]) for name in ("username", "password") if known.get(name))
    return Endpoint(
        known.get("path"), known.get("host", "localhost"), known.get("port", 6379), login, known.get("db", 0)
    )


def is_synced(url: str) -> bool:
    """Whether the URL says that the append-only file is synced every second from outside."""
    return dict(parse_qsl(url.partition("?")[2])).get(SYNCED) == "1"


def _common(timeout_s: float) -> dict[str, Any]:
    """Connection settings; one retry at once mends a connection gone stale, more would only delay the answer."""
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 1),
        "protocol": 2,
    }


def _single(url: str, timeout_s: float) -> Redis:
    bare, mark, query = url.partition("?")
    bare += mark + "&".join(part for part in query.split("&") if not part.startswith(f"{SYNCED}="))
    try:
        pool = BlockingConnectionPool.from_url(
            bare, max_connections=CONNECTIONS, timeout=timeout_s, **_common(timeout_s)
        )
    except ValueError as error:
        raise StateError("POLYRANK_REDIS_URL", str(error), f"give one of {KINDS}") from None
    return Redis.from_pool(pool)  # which also closes it


def parse(url: str) -> Address:
    """Take `kind://user:password@host:port,host:port/path?options` apart; StateError without a host."""
    kind, _, rest = url.partition("://")  # not urlsplit, which knows one host only
    rest, _, query = rest.partition("?")
    place, *path = rest.split("/")
    account, _, hosts = place.rpartition("@")
    name, _, password = account.partition(":")
    login = {key: unquote(text) for key, text in (("username", name), ("password", password)) if text}
    nodes = tuple(_node(host, 26379 if "sentinel" in kind else 6379) for host in hosts.split(",") if host)
    if not nodes:
        raise StateError("POLYRANK_REDIS_URL", f"{kind}:// without a host", "name host:port,host:port")
    return Address(kind, nodes, tuple(part for part in path if part), login, dict(parse_qsl(query)))


def _node(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):  # an IPv6 address in brackets has colons of its own
        return text.strip("[]"), default
    if not port.isdecimal():
        raise StateError("POLYRANK_REDIS_URL", f"port {port!r}", "name host:port,host:port")
    return host.strip("[]"), int(port)


def _sentinel(address: Address, timeout_s: float) -> Redis:
    """The primary that Sentinels know under the name in the path; `?sentinel_password=` is for the Sentinels."""
    if not address.path:
        raise StateError("POLYRANK_REDIS_URL", f"{address.kind}:// without a name", "end it with /NAME or /NAME/DB")
    common: dict[str, Any] = _common(timeout_s) | ({"ssl": True} if address.kind.startswith("rediss") else {})
    given = {name: address.options.get(f"sentinel_{name}") for name in ("username", "password")}
    watch: Any = Sentinel  # its signature is not annotated
    watchers = watch(list(address.nodes), sentinel_kwargs=common | {name: text for name, text in given.items() if text})
    primary: Redis = watchers.master_for(address.path[0], db=_database(address.path[1:]), **common, **address.login)
    return primary


def _database(path: Sequence[str]) -> int:
    if path and not path[0].isdecimal():
        raise StateError("POLYRANK_REDIS_URL", f"database {path[0]!r}", "give a number after the name, or nothing")
    return int(path[0]) if path else 0


def _cluster(address: Address, timeout_s: float) -> RedisCluster:
    nodes = [ClusterNode(host, port) for host, port in address.nodes]
    common: dict[str, Any] = _common(timeout_s) | address.login
    return RedisCluster(
        startup_nodes=nodes, ssl=address.kind.startswith("rediss"), max_connections=CONNECTIONS, **common
    )
