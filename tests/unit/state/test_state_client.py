"""URLs and failures: every kind of Redis by its URL, every refusal with its next move."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from app.state.client import state_error
from app.state.process import valkey_binary
from app.state.redis_store import RedisStore, open_store
from app.state.store import Answer, Cursors, StoredItem
from app.state.urls import connect, is_synced, parse
from model.errors import StateError
from tests.stores import REDIS_KINDS, clients, event, free_port, opened, run_redis, url, wait_until


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("", "found '://…'; give one of redis://"),
        ("localhost:6379", "give one of redis://"),
        ("http://localhost", "found 'http://…'; give one of redis://"),
        ("redis+other://localhost", "give one of redis://"),
        ("tcp+sentinel://localhost/main", "give one of redis://"),
        ("redis://localhost:port", "give one of redis://"),
        ("redis+cluster://", "without a host'; name host:port,host:port"),
        ("redis+cluster://one:x", "port 'x'"),
        ("redis+sentinel://one:26379", "without a name'; end it with /NAME"),
        ("redis+sentinel://one/main/first", "database 'first'"),
    ],
)
def test_a_url_that_is_none_is_refused(address: str, match: str) -> None:
    with pytest.raises(StateError, match=match):
        connect(address)


@pytest.mark.parametrize("address", ["redis://:secret@here:port", "redis+cluster://me:secret@one:x", "x://:secret@y"])
def test_a_refusal_never_shows_the_password(address: str) -> None:
    with pytest.raises(StateError) as caught:
        connect(address)
    assert "secret" not in str(caught.value)


def test_a_url_is_taken_apart() -> None:
    address = parse("rediss+sentinel://me:p%40ss@one,[::1]:7,two:9/main/3?sentinel_password=x")
    assert address.nodes == (("one", 26379), ("::1", 7), ("two", 9))
    assert address.path == ("main", "3")
    assert address.login == {"username": "me", "password": "p@ss"}
    assert address.options == {"sentinel_password": "x"}
    assert parse("redis+cluster://[::1]").nodes == (("::1", 6379),)


def test_only_a_url_that_says_so_is_synced() -> None:
    assert is_synced("unix:///x.sock?synced=1")
    assert is_synced("unix:///x.sock?db=0&synced=1")
    assert not is_synced("unix:///x.sock?synced=0")
    assert not is_synced("unix:///x.sock")


def test_secure_kinds_are_secure() -> None:
    for kind, address in {"cluster": "rediss+cluster://one", "sentinel": "rediss+sentinel://one/main"}.items():
        client: Any = connect(address)
        made = client.nodes_manager.startup_nodes["one:6379"] if kind == "cluster" else client.connection_pool
        assert made.connection_class.__name__.endswith("SSLConnection") or "SSL" in made.connection_class.__name__


CALLS: dict[str, Callable[[RedisStore], Awaitable[Any]]] = {
    "read_user": lambda store: store.read_user("u:ann"),
    "append": lambda store: store.append([event(1)]),
    "write_vector": lambda store: store.write_vector("u:ann", b"v", "b", 1),
    "put_profile": lambda store: store.put_profile("u:ann", {}),
    "patch_profile": lambda store: store.patch_profile("u:ann", {}),
    "get_profile": lambda store: store.get_profile("u:ann"),
    "export_user": lambda store: store.export_user("u:ann"),
    "erase_user": lambda store: store.erase_user("u:ann"),
    "put_item": lambda store: store.put_item(StoredItem("i")),
    "put_items": lambda store: store.put_items([StoredItem("i")]),
    "get_item": lambda store: store.get_item("i"),
    "delete_item": lambda store: store.delete_item("i"),
    "items_since": lambda store: store.items_since(0),
    "all_items": lambda store: store.all_items(),
    "active_bundle": lambda store: store.active_bundle(),
    "activate": lambda store: store.activate("b"),
    "activations": lambda store: store.activations(),
    "follow": lambda store: store.follow(Cursors()),
    "newest": lambda store: store.newest(),
    "log_impressions": lambda store: store.log_impressions([Answer("r", "u", 0.0, [], [], [])]),
    "claim": lambda store: store.claim("events", "here", 1),
    "erased": lambda store: store.erased(),
    "durability": lambda store: store.durability(),
    "ping": lambda store: store.ping(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("address", ["unix:///nowhere/at-all.sock", "redis+cluster://127.0.0.1:1"])
def test_a_store_that_is_away_is_a_state_error_whatever_is_asked(address: str, call: str) -> None:
    async def scenario() -> None:
        async with opened(address, 0.5) as store:
            with pytest.raises(StateError, match="see that it runs and can be reached, then send this again"):
                await CALLS[call](store)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", REDIS_KINDS)
def test_scripts_are_sent_again_to_a_server_that_forgot_them(kind: str) -> None:
    async def scenario(store: RedisStore) -> None:
        for _ in range(2):
            for client in clients(kind):
                client.script_flush()
                client.close()
            assert (await store.read_user("u:ann")).version == 0
            await store.append([event(number, user=f"u{number}") for number in range(20)])
            await store.put_items([StoredItem("a"), StoredItem("b")])
        assert len(await store.all_items()) == 2

    run_redis(kind, scenario)


def test_a_reply_that_is_wrong_is_a_state_error_too() -> None:
    async def scenario(store: RedisStore) -> None:
        (client,) = clients("valkey")
        client.set("polyrank:{catalogue}:items", "of another kind")
        client.close()
        with pytest.raises(StateError, match="WRONGTYPE"):
            await store.put_items([StoredItem("a")])
        with pytest.raises(StateError, match="WRONGTYPE"):
            await store.get_item("a")

    run_redis("valkey", scenario)


def test_settings_that_are_not_told_are_unknown() -> None:
    async def scenario(store: RedisStore) -> None:
        (client,) = clients("valkey")
        client.acl_setuser(
            "quiet", enabled=True, passwords=["+pw"], categories=["+@all"], commands=["-config"], keys="*"
        )
        client.close()
        path = url("valkey").removeprefix("unix://").partition("?")[0]
        async with opened(f"unix://quiet:pw@{path}") as quiet:
            assert await quiet.durability() == "unknown"
        async with opened(f"unix://quiet:wrong@{path}") as wrong:
            with pytest.raises(StateError, match="check user and password in POLYRANK_REDIS_URL"):
                await wrong.ping()

    run_redis("valkey", scenario)


def test_a_policy_unheard_of_is_unknown() -> None:
    store = open_store("unix:///x.sock")
    assert store._promise("?", "?") == "unknown"
    assert store._promise("yes", "sometimes") == "unknown"
    assert store._promise("no", "always") == "none"
    assert store._promise("yes", "always") == "aof-always"


def test_an_error_says_what_redis_said() -> None:
    assert "boom" in str(state_error(OSError("boom")))


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[str]:
    """A primary and one Sentinel that watches it; the host and port of the Sentinel."""
    primary, watcher = free_port(), free_port()
    (tmp_path / "sentinel.conf").write_text(f"port {watcher}\nsentinel monitor main 127.0.0.1 {primary} 1\n")
    commands = [
        [valkey_binary(), "--port", str(primary), "--dir", str(tmp_path), "--save", "", "--appendonly", "no"],
        [valkey_binary(), str(tmp_path / "sentinel.conf"), "--sentinel"],
    ]
    running = [subprocess.Popen(one, stdout=subprocess.DEVNULL) for one in commands]
    for port in (primary, watcher):
        with redis.Redis(port=port) as client:
            wait_until(client.ping)
    yield f"127.0.0.1:{watcher}"
    for process in running:
        process.terminate()
        process.wait()


def test_a_sentinel_leads_to_its_primary(sentinel: str) -> None:
    async def scenario() -> None:
        async with opened(f"redis+sentinel://{sentinel}/main/0") as store:
            await store.append([event(1)])
            assert (await store.read_user("u:ann")).seen == {"i1"}
            assert await store.durability() == "none"
        async with opened(f"redis+sentinel://{sentinel}/other") as store:
            with pytest.raises(StateError, match="No master found for 'other'"):
                await store.ping()

    asyncio.run(scenario())
