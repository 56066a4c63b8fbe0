"""Exports: one suite over every state store; each accepted event is in the file once, whatever was killed when."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from app.state import export
from app.state.export import ExportReceipt, export_events
from app.state.store import EVENTS, IMPRESSIONS, Answer, Entry
from app.state.tables import COLUMNS, ExportError
from model.config import Recipe
from model.data import load
from model.events import Event
from tests.stores import KINDS, AnyStore, empty_store, event, run

every_store = pytest.mark.parametrize("kind", KINDS)
USERS = ("ann", "bob", "cem", "dee", "eva")
RECIPE = """
name = "live"
[[interactions]]
path = "events.parquet"
user = "user_id"
item = "item_id"
event = { column = "type" }
value = "value"
timestamp = "timestamp"
context = ["device", "hour"]
[split]
kind = "time"
[[tasks]]
name = "like"
kind = "binary"
label = "value >= 4"
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is such a place: exports sync to disk, which takes seconds on a busy one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


def events(start: int, stop: int) -> list[Event]:
    return [event(number, user=USERS[number % len(USERS)]) for number in range(start, stop)]


def rows(folder: Path, kind: str = EVENTS) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / f"{kind}.parquet").to_pylist()
    return found


def exported_ids(folder: Path) -> list[str]:
    return sorted(row["event_id"] for row in rows(folder))


def all_ids(count: int) -> list[str]:
    return sorted(f"e{number}" for number in range(count))


@every_store
def test_an_event_is_exported_with_all_it_says(kind: str, folder: Path) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(1), Event("e2", "view", "tab", "i2", 7.5, session_id="tab")])
        receipt = await export_events(store, folder, keep_s=0)
        assert receipt == ExportReceipt((str(folder / "events.parquet"),), 2, 0, 0, 0, 2, 0)
        first, second = sorted(rows(folder), key=lambda row: row["event_id"])
        assert first.pop("accepted") > 1e9
        assert first == {
            "event_id": "e1",
            "user_id": "ann",
            "session_id": "tab-1",
            "item_id": "i1",
            "type": "rating",
            "value": 2.0,
            "timestamp": 1001.0,
            "recommendation_id": "r1",
            "device": "phone",
            "hour": "9",
            "member": "true",
        }
        assert (second["user_id"], second["session_id"], second["value"], second["device"]) == (
            "tab",
            "tab",
            None,
            None,
        )

    run(kind, scenario)


@every_store
def test_exports_add_up_and_histories_stay(kind: str, folder: Path) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events(0, 20))
        assert (await export_events(store, folder, keep_s=0)).events == 20
        await store.append(events(20, 30))
        receipt = await export_events(store, folder, keep_s=0)
        assert (receipt.events, receipt.repeated, receipt.trimmed) == (10, 0, 10)
        assert exported_ids(folder) == all_ids(30)
        before = (folder / "events.parquet").read_bytes()
        assert (await export_events(store, folder)).events == 0
        assert (folder / "events.parquet").read_bytes() == before
        assert len((await store.read_user("u:ann")).seen) == 6

    run(kind, scenario)


@every_store
@pytest.mark.parametrize("confirmed", [None, 0, 4, 10])
def test_a_killed_export_is_finished_by_the_next_one(kind: str, confirmed: int | None, folder: Path) -> None:
    """Killed before the file was in place (None) or after it, with some entries confirmed."""

    async def scenario(store: AnyStore) -> None:
        await store.append(events(0, 10))
        await kill_export(store, folder, confirmed)
        await store.append(events(10, 15))
        receipt = await export_events(store, folder, keep_s=0)
        assert exported_ids(folder) == all_ids(15)
        assert receipt.repeated == (0 if confirmed is None else 10 - confirmed)
        assert receipt.trimmed == 15
        assert receipt.elsewhere == 0

    run(kind, scenario)


class Killed(BaseException):
    """Stands for the end of the process at that place."""


async def kill_export(store: AnyStore, folder: Path, confirmed: int | None) -> None:
    """Export until the file is in place and `confirmed` entries are acknowledged; None: until before the file."""
    with pytest.MonkeyPatch.context() as patch:
        acknowledge = store.confirm

        async def confirm(kind: str, entries: Sequence[Entry]) -> None:
            await acknowledge(kind, entries[: confirmed or 0])
            raise Killed

        def rewrite(*_: object) -> None:
            raise Killed

        patch.setattr(store, "confirm", confirm)
        if confirmed is None:
            patch.setattr(export, "rewrite", rewrite)
        with pytest.raises(Killed):
            await export_events(store, folder)


@every_store
def test_an_unfinished_export_elsewhere_is_told_of_and_can_be_taken_over(kind: str, folder: Path) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events(0, 6))
        await kill_export(store, folder / "lost", None)
        await store.append(events(6, 8))
        receipt = await export_events(store, folder / "here", keep_s=0)
        assert (receipt.events, receipt.elsewhere) == (2, 6)
        assert exported_ids(folder / "here") == ["e6", "e7"]
        receipt = await export_events(store, folder / "here", keep_s=0, take_over=True)
        assert (receipt.events, receipt.elsewhere) == (6, 0)
        assert exported_ids(folder / "here") == all_ids(8)

    run(kind, scenario)


@every_store
def test_many_events_are_exported_in_rounds(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CLAIM", {EVENTS: 2, IMPRESSIONS: 2})
    monkeypatch.setattr(export, "HELD", {EVENTS: 10, IMPRESSIONS: 10})

    async def scenario(store: AnyStore) -> None:
        await store.append(events(0, 50))
        assert (await export_events(store, folder)).events == 50
        assert exported_ids(folder) == all_ids(50)

    run(kind, scenario)


@every_store
def test_an_erased_user_leaves_the_exported_file_too(kind: str, folder: Path) -> None:
    async def scenario(store: AnyStore) -> None:
        session = Event("s1", "view", "ann", "i9", 5.0, session_id="ann")
        await store.append([*events(0, 10), session])
        await export_events(store, folder)
        await store.erase_user("u:ann")
        await asyncio.sleep(0.01)
        await store.append([event(50, item="later")])
        receipt = await export_events(store, folder)
        assert (receipt.events, receipt.purged) == (1, 2)
        assert exported_ids(folder) == sorted({*all_ids(10), "e50", "s1"} - {"e0", "e5"})
        assert (await export_events(store, folder)).purged == 0

    run(kind, scenario)


@every_store
def test_a_user_erased_before_the_export_is_not_in_it(kind: str, folder: Path) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events(0, 10))
        await kill_export(store, folder, None)
        await store.erase_user("u:ann")
        assert (await export_events(store, folder)).events == 8

    run(kind, scenario)


@every_store
def test_impressions_have_a_file_of_their_own_with_a_row_each(kind: str, folder: Path) -> None:
    async def scenario(store: AnyStore) -> None:
        shown = [
            Answer("r1", "ann", 5.0, ["i1", "i2"], [0.9, 0.8], [0.5, 0.25], bundle="b1", context={"score": "odd"}),
            Answer("r2", "", 6.0, ["i3"], [0.7], [1.0]),
        ]
        await store.log_impressions(shown)
        receipt = await export_events(store, folder)
        assert (receipt.events, receipt.impressions) == (0, 3)
        found = sorted(rows(folder, IMPRESSIONS), key=lambda row: (row["recommendation_id"], row["position"]))
        assert [(row["item_id"], row["position"], row["score"], row["propensity"]) for row in found] == [
            ("i1", 0, 0.9, 0.5),
            ("i2", 1, 0.8, 0.25),
            ("i3", 0, 0.7, 1.0),
        ]
        assert [row["context_score"] for row in found] == ["odd", "odd", None]
        assert not (folder / "events.parquet").exists()

    run(kind, scenario)


@every_store
def test_context_columns_add_up(kind: str, folder: Path) -> None:
    async def scenario(store: AnyStore) -> None:
        for number, context in enumerate([{"device": "tv"}, {"country": "DE"}, {}]):
            await store.append([Event(f"e{number}", "view", "ann", "i", float(number), context=context)])
            await export_events(store, folder)
        found = [(row["country"], row["device"]) for row in sorted(rows(folder), key=lambda row: row["event_id"])]
        assert found == [(None, "tv"), ("DE", None), (None, None)]

    run(kind, scenario)


def test_an_export_is_a_table_of_a_recipe(folder: Path) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events(0, 60))
        await export_events(store, folder)

    run("memory", scenario)
    (folder / "dataset.toml").write_text(RECIPE)
    dataset = load(Recipe.load(folder / "dataset.toml"))
    assert len(dataset.log.user) == 60
    assert sorted(dataset.users.names) == sorted(USERS)
    assert len(dataset.items) == 60
    assert sorted(dataset.log.time.tolist()) == [1_000.0 + number for number in range(60)]
    assert dataset.event_types == ("rating",)
    assert dict(zip(dataset.context_names, dataset.context_values, strict=True)) == {
        "device": ("phone",),
        "hour": ("9",),
    }


def test_two_exports_into_one_folder_do_not_mix(folder: Path) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events(0, 3))
        with export._only_one(folder), pytest.raises(ExportError, match="another export is writing there"):
            await export_events(store, folder)
        assert (await export_events(store, folder)).events == 3

    run("memory", scenario)


@pytest.mark.parametrize(
    ("content", "match"), [(b"not a table", "move it away and export again"), (None, "no columns")]
)
def test_a_file_that_is_no_export_is_refused_and_left_alone(content: bytes | None, match: str, folder: Path) -> None:
    path = folder / "events.parquet"
    if content is None:
        pyarrow.parquet.write_table(pyarrow.table({"user_id": ["ann"]}), path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()

    async def scenario(store: AnyStore) -> None:
        await store.append(events(0, 3))
        with pytest.raises(ExportError, match=match):
            await export_events(store, folder)
        assert path.read_bytes() == before
        assert (await export_events(store, folder / "other", take_over=True)).events == 3

    run("memory", scenario)


def test_without_pyarrow_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExportError, match=r"install `polyrank\[batch\]`"):
        asyncio.run(_export_nothing(folder))


async def _export_nothing(folder: Path) -> None:
    await export_events(await empty_store("memory"), folder)


def test_columns_are_in_order_and_context_comes_last(folder: Path) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(1)])
        await export_events(store, folder)

    run("memory", scenario)
    names = pyarrow.parquet.read_schema(folder / "events.parquet").names
    assert names == [*COLUMNS[EVENTS], "device", "hour", "member"]
