"""Users: one suite that every state store passes."""

import asyncio

import pytest

from app.state.packing import pack_context
from app.state.store import HISTORY_LIMIT, Answer, Cursors, PastEvent, UserExport, UserState, user_key
from model.events import Event
from tests.stores import KINDS, AnyStore, event, run

every_store = pytest.mark.parametrize("kind", KINDS)


@every_store
def test_who_links_somebody_has_not_seen_an_item_of_that_name(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        linking = Event("e1", "follow", "ann", "i1", 5.0, target="user")
        await store.append([linking, Event("e2", "view", "ann", "i2", 6.0)])
        state = await store.read_user("u:ann")
        assert [one.item_id for one in state.events] == ["i1", "i2"]
        assert state.seen == {"i2"}
        kept = await store.export_user("u:ann")
        assert kept is not None
        assert kept.events[0] == linking

    run(kind, scenario)


@every_store
def test_a_user_never_seen_is_empty_and_not_an_error(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        state = await store.read_user("u:nobody")
        assert state == UserState(events=[])
        assert not state.known
        assert not state.erased
        assert await store.export_user("u:nobody") is None
        assert await store.get_profile("u:nobody") is None

    run(kind, scenario)


@every_store
def test_an_event_is_in_the_next_read(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        appended = await store.append([event(1)])
        state = await store.read_user("u:ann")
        assert [one.duplicate for one in appended] == [False]
        assert state.events == [PastEvent("i1", "rating", 1_001.0, 2.0, pack_context(event(1).context))]
        assert state.seen == {"i1"}
        assert state.version > 0
        assert state.known

    run(kind, scenario)


@every_store
def test_an_event_id_counts_once_also_within_a_list(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(1)])
        before = await store.read_user("u:ann")
        appended = await store.append([event(1), event(2), event(2)])
        assert [(one.event_id, one.duplicate) for one in appended] == [("e1", True), ("e2", False), ("e2", True)]
        after = await store.read_user("u:ann")
        assert [one.item_id for one in after.events] == ["i1", "i2"]
        assert after.version > before.version

    run(kind, scenario)


@every_store
def test_a_duplicate_alone_changes_nothing(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(1)])
        before = await store.read_user("u:ann")
        await store.append([event(1, item="another")])
        assert await store.read_user("u:ann") == before

    run(kind, scenario)


@every_store
def test_no_events_are_no_work(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        assert await store.append([]) == []
        await store.log_impressions([])
        assert await store.put_items([]) == []

    run(kind, scenario)


@every_store
def test_late_events_are_sorted_in_and_ties_keep_the_order_of_acceptance(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        times = {1: 50.0, 2: 10.0, 3: 50.0, 4: -5.5, 5: 50.0}
        for number, at in times.items():
            await store.append([event(number, at=at)])
        state, export = await store.read_user("u:ann"), await store.export_user("u:ann")
        assert [one.item_id for one in state.events] == ["i4", "i2", "i1", "i3", "i5"]
        assert export is not None
        assert [one.event_id for one in export.events] == ["e4", "e2", "e1", "e3", "e5"]

    run(kind, scenario)


@every_store
def test_reads_are_bounded_seen_and_export_are_complete(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        count = HISTORY_LIMIT + 50
        await store.append([event(number) for number in range(count)])
        await store.append([event(count, item="late", at=1.0)])
        state, export = await store.read_user("u:ann"), await store.export_user("u:ann")
        assert [one.item_id for one in state.events] == [f"i{number}" for number in range(50, count)]
        assert state.seen == {f"i{number}" for number in range(count)} | {"late"}
        assert export is not None
        assert list(export.events) == [event(count, item="late", at=1.0), *(event(number) for number in range(count))]

    run(kind, scenario)


@every_store
def test_a_session_is_not_the_user_of_the_same_name(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        anonymous = Event("e1", "view", "x", "shown", 5.0, session_id="x")
        await store.append([anonymous, event(2, user="x", item="rated")])
        assert (await store.read_user("s:x")).seen == {"shown"}
        assert (await store.read_user("u:x")).seen == {"rated"}

    run(kind, scenario)


@every_store
def test_ids_are_opaque(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        names = ["{p01}", "a/b:c", " ", "日本語", "new\nline", "🙂" * 60, '","', "0"]
        await store.append([event(place, user=name, item=name) for place, name in enumerate(names)])
        for name in names:
            state = await store.read_user(f"u:{name}")
            assert state.seen == {name}
            assert [one.item_id for one in state.events] == [name]

    run(kind, scenario)


@every_store
def test_a_vector_is_fresh_until_the_next_event(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(1)])
        version = (await store.read_user("u:ann")).version
        assert await store.write_vector("u:ann", b"\x00\xff\n", "bundle-1", version)
        state = await store.read_user("u:ann")
        assert state.fresh_vector("bundle-1") == b"\x00\xff\n"
        assert state.fresh_vector("bundle-2") is None
        await store.append([event(2)])
        state = await store.read_user("u:ann")
        assert (state.vector, state.vector_version) == (b"\x00\xff\n", version)
        assert state.fresh_vector("bundle-1") is None

    run(kind, scenario)


@every_store
def test_a_vector_never_goes_back(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        assert await store.write_vector("u:ann", b"new", "b", 7)
        assert not await store.write_vector("u:ann", b"old", "b", 6)
        assert await store.write_vector("u:ann", b"same", "b2", 7)
        assert (await store.read_user("u:ann")).vector == b"same"

    run(kind, scenario)


@every_store
def test_profiles_are_put_patched_and_read(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        assert await store.patch_profile("u:ann", {"age": 30}) is None
        assert await store.put_profile("u:ann", {"age": 29, "likes": ["a", "b"], "none": []})
        first = await store.read_user("u:ann")
        assert first.profile == {"age": 29, "likes": ["a", "b"], "none": []}
        assert first.known
        assert not await store.put_profile("u:ann", {"age": 29, "job": "baker"})
        assert await store.patch_profile("u:ann", {"age": 30, "job": None, "city": "Ulm"}) == {"age": 30, "city": "Ulm"}
        assert await store.get_profile("u:ann") == {"age": 30, "city": "Ulm"}
        assert (await store.read_user("u:ann")).version > first.version
        assert await store.export_user("u:ann") == UserExport({"age": 30, "city": "Ulm"}, [])

    run(kind, scenario)


@every_store
def test_patches_made_together_all_count(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.put_profile("u:ann", {"age": 30})
        await asyncio.gather(*(store.patch_profile("u:ann", {f"key{number}": number}) for number in range(10)))
        assert await store.get_profile("u:ann") == {"age": 30, **{f"key{number}": number for number in range(10)}}

    run(kind, scenario)


def test_a_key_is_of_a_user_or_of_a_session() -> None:
    assert user_key("ann", "tab") == "u:ann"
    assert user_key(None, "tab") == "s:tab"
    with pytest.raises(ValueError, match="neither user id nor session id; give one"):
        user_key(None)


@every_store
def test_erase_says_what_went_and_leaves_a_mark(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(1), event(2, item="i1"), event(3, user="bob")])
        await store.put_profile("u:ann", {"age": 30})
        await store.write_vector("u:ann", b"v", "b", 1)
        await store.log_impressions([answer("r1", "ann"), answer("r2", "bob"), answer("r3", "ann")])
        receipt = await store.erase_user("u:ann")
        assert receipt == {
            "events": 2,
            "stream_entries": 2,
            "seen_items": 1,
            "profile": 1,
            "vector": 1,
            "answers": 2,
        }
        state = await store.read_user("u:ann")
        assert (state.events, state.seen, state.profile, state.vector) == ([], frozenset(), None, None)
        assert state.erased
        assert not state.known
        assert await store.export_user("u:ann") is None
        assert [one.user for one in (await store.follow(Cursors())).events] == ["bob"]
        assert set(await store.erased()) == {"u:ann"}
        assert (await store.read_user("u:bob")).seen == {"i3"}

    run(kind, scenario)


@every_store
def test_a_new_history_begins_after_an_erase(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(1)])
        before = await store.read_user("u:ann")
        await store.erase_user("u:ann")
        marked = await store.read_user("u:ann")
        appended = await store.append([event(1, item="again")])
        state = await store.read_user("u:ann")
        assert not appended[0].duplicate
        assert state.seen == {"again"}
        assert state.erased_at == marked.erased_at
        assert before.version < marked.version < state.version

    run(kind, scenario)


@every_store
def test_a_vector_computed_before_an_erase_is_refused_after_it(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(1)])
        before = await store.read_user("u:ann")
        await store.erase_user("u:ann")
        assert not await store.write_vector("u:ann", b"taste", "b", before.version)
        marked = await store.read_user("u:ann")
        assert marked.vector is None
        assert await store.write_vector("u:ann", b"blank", "b", marked.version)
        assert (await store.read_user("u:ann")).fresh_vector("b") == b"blank"

    run(kind, scenario)


@every_store
def test_erasing_someone_unknown_leaves_the_mark_too(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        assert not any((await store.erase_user("u:trained-only")).values())
        assert (await store.read_user("u:trained-only")).erased

    run(kind, scenario)


def answer(name: str, user: str) -> Answer:
    return Answer(name, user, 5.0, ["i1", "i2"], [0.9, 0.8], [0.5, 0.25], bundle="b1", context={"device": "tv"})
