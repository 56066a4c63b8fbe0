"""Real stores for tests: memory, an embedded Valkey, a two-node cluster and, where there is one, Debian's Redis.

Each server is started once a test process, on first use, and ended at exit; a scenario always finds it empty.
"""

import asyncio
import atexit
import functools
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import redis

from app.state.embedded import EmbeddedValkey
from app.state.memory import MemoryStore
from app.state.process import valkey_binary
from app.state.redis_store import RedisStore, open_store
from model.events import Event

AnyStore = MemoryStore | RedisStore
T = TypeVar("T")
REDIS_KINDS = ("valkey", "cluster", *(("redis",) if shutil.which("redis-server") else ()))
KINDS = ("memory", *REDIS_KINDS)
SLOTS = 16384


def run(kind: str, scenario: Callable[[AnyStore], Awaitable[T]]) -> T:
    """Run a scenario on an empty store of one kind."""

    async def go() -> T:
        store = await empty_store(kind)
        try:
            return await scenario(store)
        finally:
            await store.close()

    return asyncio.run(go())


def run_redis(kind: str, scenario: Callable[[RedisStore], Awaitable[T]]) -> T:
    """Run a scenario on an empty Redis of one kind."""

    async def go(store: AnyStore) -> T:
        assert isinstance(store, RedisStore)
        return await scenario(store)

    return run(kind, go)


async def empty_store(kind: str) -> AnyStore:
    """An empty store of one kind, to be closed by the caller in the same event loop."""
    if kind == "memory":
        return MemoryStore()
    flush(kind)
    return open_store(url(kind), timeout_s=10)


def url(kind: str) -> str:
    """The URL of a running server of one kind."""
    if kind == "valkey":
        return valkey().url
    return f"redis+cluster://{hosts()}" if kind == "cluster" else f"unix://{debian_redis()}"


def hosts() -> str:
    """The nodes of the cluster as host:port,host:port."""
    return ",".join(f"127.0.0.1:{port}" for port in cluster_ports())


def clients(kind: str) -> list[Any]:
    """Plain clients for every server of one kind; close them."""
    if kind == "cluster":
        return [redis.Redis(port=port) for port in cluster_ports()]
    path = url(kind).removeprefix("unix://").partition("?")[0]
    return [redis.Redis(unix_socket_path=path)]


def flush(kind: str) -> None:
    """Empty every server of one kind."""
    for client in clients(kind):
        client.flushall()
        client.close()


def all_keys(kind: str) -> set[str]:
    """Every key on every server of one kind."""
    found: set[str] = set()
    for client in clients(kind):
        found |= {key.decode() for key in client.scan_iter(count=1000)}
        client.close()
    return found


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="polyrank-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def valkey() -> EmbeddedValkey:
    """The embedded Valkey of this test process."""
    server = EmbeddedValkey(_folder() / "valkey").start()
    atexit.register(server.stop)
    return server


def start_server(binary: str, *options: str) -> None:
    """Start a Redis server that ends with this test process."""
    process = subprocess.Popen([binary, *options, "--save", "", "--daemonize", "no"], stdout=subprocess.DEVNULL)
    atexit.register(process.wait)
    atexit.register(process.terminate)


def wait_until(true: Callable[[], object], patience_s: float = 20) -> None:
    """Return when `true()` holds; RuntimeError when it does not in time."""
    end = time.monotonic() + patience_s
    while not _holds(true):
        if time.monotonic() > end:
            raise RuntimeError(f"waited {patience_s} s in vain")
        time.sleep(0.02)


def _holds(true: Callable[[], object]) -> bool:
    try:
        return bool(true())
    except redis.ConnectionError:
        return False


@functools.cache
def debian_redis() -> Path:
    """The socket of Debian's own Redis server."""
    path = _folder() / "redis.sock"
    start_server(str(shutil.which("redis-server")), "--port", "0", "--unixsocket", str(path))
    with redis.Redis(unix_socket_path=str(path)) as client:
        wait_until(client.ping)
    return path


@functools.cache
def cluster_ports() -> tuple[int, int]:
    """The ports of a cluster of two nodes that share the slots, so that keys do lie on different machines."""
    ports = free_port(), free_port()
    for port in ports:
        folder = _folder() / str(port)
        folder.mkdir()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--cluster-enabled", "yes"]
        start_server(valkey_binary(), *options)
    nodes: list[Any] = [redis.Redis(port=port) for port in ports]
    for place, node in enumerate(nodes):
        wait_until(node.ping)
        half = SLOTS // 2 * place
        node.execute_command("CLUSTER ADDSLOTSRANGE", half, half + SLOTS // 2 - 1)
        node.execute_command("CLUSTER SET-CONFIG-EPOCH", place + 1)
    nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", ports[1])
    for node in nodes:
        wait_until(functools.partial(_cluster_is_up, node))
        node.close()
    return ports


def _cluster_is_up(node: Any) -> bool:
    return bool(node.execute_command("CLUSTER INFO")["cluster_state"] == "ok")  # parsed by redis-py


def free_port() -> int:
    """A port free now, with the one 10,000 above it (the cluster bus) free too."""
    while True:
        with socket.socket() as low, socket.socket() as high:
            low.bind(("127.0.0.1", 0))
            port: int = low.getsockname()[1]
            if port + 10_000 < 65_536:
                try:
                    high.bind(("127.0.0.1", port + 10_000))
                except OSError:
                    continue
                return port


def event(number: int, user: str = "ann", item: str | None = None, at: float | None = None) -> Event:
    """Event `number` of a user: by default one second after the one before, with every field set."""
    return Event(
        event_id=f"e{number}",
        type="rating",
        user=user,
        item_id=item or f"i{number}",
        timestamp=1_000.0 + number if at is None else at,
        value=float(number % 5 + 1),
        session_id="tab-1",
        recommendation_id=f"r{number}",
        context={"device": "phone", "hour": 9.0, "member": True},
    )


@asynccontextmanager
async def opened(address: str, timeout_s: float = 10) -> AsyncIterator[RedisStore]:
    """The store at a URL, closed at the end."""
    store = open_store(address, timeout_s)
    try:
        yield store
    finally:
        await store.close()
