"""Accepted is kept: Valkey and the service that started it are killed, and every accepted event is there again."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.state.embedded import EmbeddedValkey
from app.state.process import end_left_behind
from app.state.redis_store import RedisStore
from app.state.store import Appended
from model.errors import StateError
from model.events import Event
from tests.stores import event, opened, wait_until

USERS = 20
SERVICE = """
import sys, time
from pathlib import Path
from app.state.embedded import EmbeddedValkey
valkey = EmbeddedValkey(Path(sys.argv[1])).start()
print(valkey.pid, flush=True)
time.sleep(600)
"""


async def append_until_killed(url: str, kill_after: int, pid: int) -> list[str]:
    """Append events of many users, several lists at a time; kill `pid` meanwhile; ids of the accepted ones."""
    accepted, killed = list[str](), asyncio.Event()

    async def writer(store: RedisStore, place: int) -> None:
        for number in itertools.count():
            events = [event(number * 100 + at, user=f"u{(place * 5 + at) % USERS}") for at in range(place, 100, 4)]
            last = killed.is_set()
            try:
                accepted.extend(one.event_id for one in await store.append(events))
            except StateError:
                last = True
            if len(accepted) >= kill_after and not killed.is_set():
                os.kill(pid, signal.SIGKILL)
                killed.set()
            if last:
                return

    async with opened(url, 1) as store:
        await asyncio.wait_for(asyncio.gather(*(writer(store, place) for place in range(4))), 60)
    return accepted


async def stored(url: str) -> list[str]:
    """Ids of all stored events; checks that what is stored of one is stored whole."""
    found = list[str]()
    async with opened(url) as store:
        for user in range(USERS):
            export, state = await store.export_user(f"u:u{user}"), await store.read_user(f"u:u{user}")
            events = export.events if export else []
            assert {one.item_id for one in events} == state.seen
            assert [one.item_id for one in events[-200:]] == [one.item_id for one in state.events]
            found += [one.event_id for one in events]
    return found


def test_two_thousand_accepted_events_survive_the_kill_of_valkey(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        assert valkey.pid is not None
        first = valkey.pid
        accepted = asyncio.run(append_until_killed(valkey.url, 2_000, first))
        wait_until(lambda: valkey.pid != first and answers(valkey.url))
        assert len(accepted) >= 2_000
        assert set(accepted) <= set(asyncio.run(stored(valkey.url)))


def answers(url: str) -> bool:
    async def ask() -> bool:
        async with opened(url, 1) as store:
            try:
                await store.ping()
            except StateError:
                return False
            return True

    return asyncio.run(ask())


def test_the_next_service_ends_what_a_killed_one_left_and_finds_everything(tmp_path: Path) -> None:
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    left = int(service.stdout.readline())
    asyncio.run(_append(EmbeddedValkey(tmp_path).url, 50))
    service.kill()
    service.wait()
    service.stdout.close()
    assert Path(f"/proc/{left}").exists()
    with EmbeddedValkey(tmp_path) as valkey:
        assert not alive(left)
        assert len(asyncio.run(stored(valkey.url))) == 50
    assert not alive(valkey_pid(tmp_path))


def test_a_valkey_that_hangs_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.state.process.END_S", 0.3)
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    left = int(service.stdout.readline())
    service.kill()
    service.wait()
    service.stdout.close()
    os.kill(left, signal.SIGSTOP)
    end_left_behind(tmp_path)
    assert not alive(left)


def alive(pid: int) -> bool:
    """Is there such a process, zombies aside?"""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def valkey_pid(folder: Path) -> int:
    return int((folder / "valkey.pid").read_text())


async def _append(url: str, count: int) -> None:
    async with opened(url) as store:
        await store.append([event(number, user=f"u{number % USERS}") for number in range(count)])


def long_event(number: int) -> Event:
    return event(number, user=f"u{number % USERS}", item="x" * 200 + str(number))


async def fill(store: RedisStore) -> list[str]:
    """Append until the store is full; ids of the accepted events."""
    accepted = list[str]()
    try:
        for number in range(0, 400_000, 100):
            accepted += [one.event_id for one in await store.append([long_event(number + at) for at in range(100)])]
    except StateError:
        return accepted
    raise AssertionError("it was never full")


def test_a_full_store_refuses_and_keeps_nothing_half(tmp_path: Path) -> None:
    async def scenario(url: str) -> None:
        async with opened(url) as store:
            accepted = await fill(store)
            assert len(accepted) > 100
            with pytest.raises(StateError, match="it is full: raise its maxmemory"):
                await store.append([long_event(500_000 + at) for at in range(100)])
            assert set(accepted) <= set(await stored(url))
            for user in range(USERS // 2):  # what is erased makes room
                receipt = await store.erase_user(f"u:u{user}")
                assert receipt["events"] > 0
            assert (await store.append([event(1, user="new")]))[0] == Appended("e1", False)

    with EmbeddedValkey(tmp_path, maxmemory="6mb") as valkey:
        asyncio.run(scenario(valkey.url))


def test_reading_does_not_wait_long_for_a_store_that_hangs(tmp_path: Path) -> None:
    async def read(url: str) -> float:
        async with opened(url, 0.2) as store:
            begun = time.monotonic()
            with pytest.raises(StateError, match="see that it runs and can be reached"):
                await store.read_user("u:ann")
            return time.monotonic() - begun

    with EmbeddedValkey(tmp_path) as valkey:
        assert valkey.pid is not None
        os.kill(valkey.pid, signal.SIGSTOP)
        waited = asyncio.run(read(valkey.url))
        os.kill(valkey.pid, signal.SIGCONT)
    assert waited < 5
