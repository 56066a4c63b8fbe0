"""`polyrank events export` and `polyrank erase`, as typed."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from app.state.cli import register
from app.state.embedded import EmbeddedValkey
from model.errors import PolyrankError
from model.events import Event
from model.ids import IdError
from tests.stores import event, opened


def typed(*words: str) -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    arguments = parser.parse_args(words)
    arguments.run(arguments)


def receipt(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


async def append(url: str, *events: Event) -> None:
    async with opened(url) as store:
        await store.append(events)


async def seen(url: str, key: str) -> set[str]:
    async with opened(url) as store:
        return set((await store.read_user(key)).seen)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("POLYRANK_REDIS_URL", raising=False)
    monkeypatch.setenv("POLYRANK_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_events_are_exported_while_the_service_is_down(state: Path, tmp_path: Path, capsys: Any) -> None:
    with EmbeddedValkey(state) as valkey:
        asyncio.run(append(valkey.url, event(1), event(2)))
    typed("events", "export", "--out", str(tmp_path / "out"), "--keep-seconds", "0")
    told = receipt(capsys)
    assert (told["events"], told["trimmed"]) == (2, 2)
    assert told["files"] == [str(tmp_path / "out" / "events.parquet")]
    assert pyarrow.parquet.read_table(told["files"][0]).num_rows == 2


def test_commands_work_beside_a_live_service(
    state: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedValkey(state) as valkey:
        asyncio.run(append(valkey.url, event(1)))
        typed("events", "export", "--out", str(tmp_path / "out"), "--take-over")
        assert receipt(capsys)["events"] == 1
        monkeypatch.setenv("POLYRANK_REDIS_URL", valkey.url)
        typed("erase", "ann")
        assert receipt(capsys) == {
            "user_id": "ann",
            "erased": {"events": 1, "stream_entries": 1, "seen_items": 1, "profile": 0, "vector": 0, "answers": 0},
        }
        assert asyncio.run(seen(valkey.url, "u:ann")) == set()


def test_a_session_is_erased_by_its_own_flag(state: Path, capsys: Any) -> None:
    with EmbeddedValkey(state) as valkey:
        asyncio.run(append(valkey.url, event(1), Event("e2", "view", "ann", "i2", 5.0, session_id="ann")))
        typed("erase", "ann", "--session")
        assert receipt(capsys)["erased"]["events"] == 1
        assert asyncio.run(seen(valkey.url, "u:ann")) == {"i1"}
        assert asyncio.run(seen(valkey.url, "s:ann")) == set()


def test_what_is_no_id_is_refused(state: Path) -> None:
    with pytest.raises(IdError, match="session id: found ''"):
        typed("erase", "", "--session")
    with pytest.raises(PolyrankError, match="user id: found"):
        typed("erase", "x" * 300)
