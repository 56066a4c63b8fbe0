"""Operators' commands on the state, without a service."""

import asyncio
from pathlib import Path

import pytest

from app.cli import main
from app.operate import on_state
from app.settings import Settings
from app.state.store import user_key
from model.events import Event
from tests.serving import ONE, TWO, bundles, damage


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings that name a folder of two bundles and a state of their own."""
    mine = bundles(tmp_path)
    monkeypatch.setenv("POLYRANK_BUNDLES", str(mine))
    monkeypatch.setenv("POLYRANK_STATE_DIR", str(tmp_path / "state"))
    return mine


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(arguments)
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def active(capsys: pytest.CaptureFixture[str]) -> str:
    _, text = said(capsys, "bundles", "list")
    (line,) = [one for one in text.splitlines() if one.startswith("* ")]
    return line.split()[1]


def test_bundles_are_listed_activated_and_rolled_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert active(capsys) == ONE  # where `current` points
    assert said(capsys, "bundles", "activate", TWO)[0] == 0
    assert active(capsys) == TWO
    assert said(capsys, "bundles", "rollback") == (
        0,
        f"{ONE} is active again; running services follow within a second\n",
    )
    assert said(capsys, "bundles", "rollback")[0] == 0
    assert active(capsys) == TWO


def test_without_another_bundle_there_is_no_way_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, "bundles", "rollback")
    assert (status, f"bundles rollback: found '{ONE}'; there is no other sealed bundle" in text) == (2, True)


def test_what_does_not_verify_is_not_activated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder / TWO / "ids.json")
    status, text = said(capsys, "bundles", "activate", TWO)
    assert (status, "ids.json" in text) == (2, True)
    status, text = said(capsys, "bundles", "activate", "nowhere")
    assert (status, "`polyrank bundles list` shows those there are" in text) == (2, True)
    assert active(capsys) == ONE


def test_an_unsealed_or_damaged_bundle_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / TWO / "SEAL").unlink()
    (folder / TWO / "manifest.json").unlink()
    (folder / TWO / "manifest.json").write_text("{")
    assert said(capsys, "bundles", "list")[1].splitlines()[-1] == f"  {TWO}    not sealed"


def event(event_id: str) -> Event:
    return Event(event_id, "like", "ann", "i1", 1e9)


def test_a_person_is_erased_and_the_receipt_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings.from_env()
    on_state(settings, lambda store: store.append([event("e1"), event("e2")]))
    status, text = said(capsys, "erase", "ann")
    assert (status, text.startswith("erased of ann: 2 events")) == (0, True)
    assert on_state(settings, lambda store: store.export_user(user_key("ann"))) is None
    status, text = said(capsys, "erase", "")
    assert (status, "user id: found ''" in text) == (2, True)


def test_events_are_exported_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on_state(Settings.from_env(), lambda store: store.append([event("e1")]))
    out = str(tmp_path / "events")
    assert (
        f"exported 1 events and 0 answers to {out}/events.parquet" in said(capsys, "events", "export", "--out", out)[1]
    )
    assert "exported 0 events" in said(capsys, "events", "export", "--out", out, "--take-over")[1]


def test_a_state_by_url_is_used(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("POLYRANK_REDIS_URL", "unix:///nowhere/valkey.sock")
    status, text = said(capsys, "erase", "ann")
    assert (status, text.startswith("polyrank: state store: found")) == (2, True)


def test_what_is_run_on_the_state_may_be_any_coroutine(folder: Path) -> None:
    async def nothing(_: object) -> int:
        await asyncio.sleep(0)
        return 7

    assert on_state(Settings.from_env(), nothing) == 7
