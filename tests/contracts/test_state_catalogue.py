"""Run-time items and the active bundle: one suite that every state store passes."""

import pytest

from app.state import memory, redis_catalogue
from app.state.store import StoredItem
from tests.stores import KINDS, AnyStore, run

every_store = pytest.mark.parametrize("kind", KINDS)


def item(name: str, title: str = "A title") -> StoredItem:
    return StoredItem(
        name,
        {"title": title},
        {"genres": ["a", "b"], "year": 1999},
        text_vector=b"\x00\x01\xff",
        encoder="e1",
        updated=5.0,
    )


@every_store
def test_an_item_comes_back_as_it_was_put(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        version = await store.put_item(item("a/b ü"))
        found = await store.get_item("a/b ü")
        assert found is not None
        assert found == StoredItem(**{name: getattr(item("a/b ü"), name) for name in FIELDS}, version=version)
        assert await store.get_item("other") is None

    run(kind, scenario)


FIELDS = ("item_id", "text", "attributes", "hidden", "deleted", "text_vector", "encoder", "updated")


@every_store
def test_each_item_stands_once_in_the_log_as_it_is_now(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        versions = await store.put_items([item("a"), item("b"), item("c")])
        assert versions == sorted(versions)
        await store.put_item(item("a", "Another"))
        changes = await store.items_since(0)
        assert [(one.item_id, one.text["title"]) for one in changes.items] == [
            ("b", "A title"),
            ("c", "A title"),
            ("a", "Another"),
        ]
        assert (await store.items_since(changes.cursor)).items == []
        assert [one.item_id for one in (await store.items_since(versions[1])).items] == ["c", "a"]
        assert await store.all_items() == list(changes.items)

    run(kind, scenario)


@every_store
def test_a_deleted_item_leaves_a_tombstone_also_when_only_a_bundle_knew_it(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.put_item(item("mine"))
        await store.delete_item("mine")
        await store.delete_item("of the bundle")
        found = await store.get_item("mine")
        assert found is not None
        assert found.deleted
        assert found.text == {}
        assert [(one.item_id, one.deleted) for one in await store.all_items()] == [
            ("mine", True),
            ("of the bundle", True),
        ]

    run(kind, scenario)


@every_store
def test_an_item_is_written_over_only_as_it_was_expected(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        first = await store.put_item(item("a"), expected=0)
        assert first > 0
        assert await store.put_item(item("a", "lost"), expected=0) == 0
        second = await store.put_item(item("a", "won"), expected=first)
        assert second > first
        assert await store.put_item(item("a", "lost"), expected=first) == 0
        found = await store.get_item("a")
        assert found is not None
        assert found.text["title"] == "won"

    run(kind, scenario)


@every_store
def test_many_changes_come_in_pages(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "FOLLOW_LIMIT", 3)
    monkeypatch.setattr(redis_catalogue, "FOLLOW_LIMIT", 3)

    async def scenario(store: AnyStore) -> None:
        await store.put_items([item(str(number)) for number in range(7)])
        page = await store.items_since(0)
        assert [one.item_id for one in page.items] == ["0", "1", "2"]
        assert [one.item_id for one in (await store.items_since(page.cursor)).items] == ["3", "4", "5"]
        assert [one.item_id for one in await store.all_items()] == [str(number) for number in range(7)]

    run(kind, scenario)


@every_store
def test_a_cursor_from_a_lost_store_starts_again(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.put_item(item("a"))
        assert [one.item_id for one in (await store.items_since(1_000_000)).items] == ["a"]

    run(kind, scenario)


@every_store
def test_the_last_activated_bundle_is_the_active_one(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        assert await store.active_bundle() is None
        assert await store.activations() == []
        for version in ("b1", "b2", "b1"):
            await store.activate(version)
        assert await store.active_bundle() == "b1"
        log = await store.activations()
        assert [one.version for one in log] == ["b1", "b2", "b1"]
        assert log[0].time >= log[1].time >= log[2].time > 1e9

    run(kind, scenario)


@every_store
def test_a_hundred_activations_are_remembered(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        for number in range(103):
            await store.activate(str(number))
        assert [one.version for one in await store.activations()] == [str(number) for number in range(102, 2, -1)]

    run(kind, scenario)
