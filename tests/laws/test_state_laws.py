"""Laws of the state, on memory and on a real Valkey: what must hold for any events in any order."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.state.keys import ERASED, SEQUENCES, partition_of, stream, user_keys
from app.state.packing import (
    pack_answer,
    pack_event,
    pack_item,
    unpack_answer,
    unpack_event,
    unpack_item,
)
from app.state.store import EVENTS, Answer, Cursors, StoredItem, UserState, event_key
from model.events import Event
from tests.stores import AnyStore, all_keys, run

both = pytest.mark.parametrize("kind", ["memory", "valkey"])
lawful = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
times = st.floats(-1e6, 4e9, allow_nan=False).map(lambda at: round(at, 3))
contexts = st.dictionaries(ids, st.one_of(ids, st.floats(-1e9, 1e9), st.booleans()), max_size=3)
any_event = st.builds(
    Event,
    event_id=ids,
    type=st.sampled_from(["view", "rating"]),
    user=st.sampled_from(["ann", "bob"]),
    item_id=ids,
    timestamp=times,
    value=st.none() | st.floats(-1e6, 1e6),
    session_id=st.none() | ids,
    recommendation_id=st.none() | ids,
    context=contexts,
)
logs = st.lists(any_event, max_size=12)
timed_logs = st.lists(any_event, max_size=12, unique_by=lambda one: one.timestamp)


def of_one_user(events: Sequence[Event]) -> list[Event]:
    """One user's events with ids of their own, oldest first."""
    numbered = enumerate(sorted(events, key=lambda one: one.timestamp))
    return [replace(one, event_id=f"e{place}", user="ann", session_id=None) for place, one in numbered]


async def states(store: AnyStore, events: Sequence[Event]) -> dict[str, UserState]:
    return {key: await store.read_user(key) for key in sorted({event_key(event) for event in events})}


@both
@given(events=logs)
@lawful
def test_append_is_idempotent(kind: str, events: list[Event]) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events)
        before = await states(store, events)
        again = await store.append(events)
        assert all(one.duplicate for one in again)
        assert await states(store, events) == before

    run(kind, scenario)


@both
@given(events=timed_logs.map(of_one_user), data=st.data())
@lawful
def test_the_order_of_arrival_does_not_matter(kind: str, events: list[Event], data: st.DataObject) -> None:
    arrived = data.draw(st.permutations(events))

    async def scenario(store: AnyStore) -> None:
        await store.append(arrived)
        state = await store.read_user("u:ann")
        assert [one.item_id for one in state.events] == [one.item_id for one in events]
        export = await store.export_user("u:ann")
        assert list(export.events if export else []) == events

    run(kind, scenario)


@both
@given(events=logs)
@lawful
def test_a_batch_equals_its_events_one_by_one(kind: str, events: list[Event]) -> None:
    async def together(store: AnyStore) -> object:
        return await store.append(events), await states(store, events)

    async def singly(store: AnyStore) -> object:
        return [one for event in events for one in await store.append([event])], await states(store, events)

    assert run(kind, together) == run(kind, singly)


@both
@given(events=logs)
@lawful
def test_seen_is_the_union_of_the_items_of_accepted_events(kind: str, events: list[Event]) -> None:
    async def scenario(store: AnyStore) -> None:
        appended = await store.append(events)
        for key, state in (await states(store, events)).items():
            accepted = [
                event
                for event, one in zip(events, appended, strict=True)
                if not one.duplicate and event_key(event) == key
            ]
            assert state.seen == {event.item_id for event in accepted}
            export = await store.export_user(key)
            assert export is not None
            assert sorted(one.event_id for one in export.events) == sorted(one.event_id for one in accepted)

    run(kind, scenario)


@both
@given(events=logs)
@lawful
def test_followers_see_what_was_accepted(kind: str, events: list[Event]) -> None:
    async def scenario(store: AnyStore) -> None:
        appended = await store.append(events)
        accepted = [event for event, one in zip(events, appended, strict=True) if not one.duplicate]
        followed = (await store.follow(Cursors())).events
        for key in {event_key(event) for event in events}:
            assert [one for one in followed if event_key(one) == key] == [
                one for one in accepted if event_key(one) == key
            ]

    run(kind, scenario)


@both
@given(events=logs.filter(bool))
@lawful
def test_an_erase_leaves_nothing_but_the_mark(kind: str, events: list[Event]) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events)
        keys = {event_key(event) for event in events}
        for key in keys:
            await store.put_profile(key, {"age": 30})
            await store.write_vector(key, b"vector", "b", 1_000)
            await store.log_impressions([Answer("r", key[2:], 1.0, ["i"], [1.0], [1.0], session_id=key[2:])])
            await store.erase_user(key)
            assert await store.export_user(key) is None
        assert set(await store.erased()) == keys
        assert (await store.follow(Cursors())).events == []

    run(kind, scenario)
    if kind == "valkey":
        partitions = {partition_of(event_key(event)) for event in events}
        allowed = {name for at in partitions for name in (ERASED[at], SEQUENCES[at], stream(EVENTS, at))}
        impressions = {stream("impressions", at) for at in range(16)}
        assert all_keys(kind) <= allowed | impressions


@both
@given(steps=st.lists(st.sampled_from(["event", "profile", "erase", "vector"]), max_size=12))
@lawful
def test_versions_only_grow(kind: str, steps: list[str]) -> None:
    async def scenario(store: AnyStore) -> None:
        version = 0
        for number, step in enumerate(steps):
            if step == "event":
                await store.append([Event(f"e{number}", "view", "ann", "i", 1.0)])
            elif step == "profile":
                await store.put_profile("u:ann", {"age": number})
            elif step == "erase":
                await store.erase_user("u:ann")
            else:
                await store.write_vector("u:ann", b"v", "b", version)
            now = (await store.read_user("u:ann")).version
            assert now > version if step != "vector" else now == version
            version = now

    run(kind, scenario)


@both
@given(versions=st.lists(st.integers(0, 9), min_size=1, max_size=8))
@lawful
def test_a_vector_never_goes_back(kind: str, versions: list[int]) -> None:
    async def scenario(store: AnyStore) -> None:
        highest = -1
        for place, version in enumerate(versions):
            written = await store.write_vector("u:ann", str(place).encode(), "b", version)
            assert written == (version >= highest)
            highest = max(highest, version)
            assert (await store.read_user("u:ann")).vector_version == highest

    run(kind, scenario)


@given(event=any_event)
def test_an_event_survives_packing(event: Event) -> None:
    assert unpack_event(pack_event(event)) == event


@given(
    item=st.builds(
        StoredItem,
        ids,
        st.dictionaries(ids, st.text(st.characters(exclude_categories=["Cs"]))),
        st.dictionaries(ids, st.one_of(st.none(), ids, st.booleans(), st.floats(-1e9, 1e9), st.lists(ids))),
        st.booleans(),
        st.booleans(),
        st.binary(),
        ids,
        times,
        st.integers(0, 2**40),
    )
)
def test_an_item_survives_packing(item: StoredItem) -> None:
    assert unpack_item(pack_item(item), item.version) == item


@given(context=contexts, scores=st.lists(st.floats(-10, 10), max_size=4))
def test_an_answer_survives_packing(context: dict[str, str | float | bool], scores: list[float]) -> None:
    answer = Answer("r", "ann", 5.0, [f"i{place}" for place in range(len(scores))], scores, scores, context=context)
    assert unpack_answer(pack_answer(answer)) == answer


@given(name=ids)
def test_all_keys_of_a_user_share_one_hash_tag_with_its_streams(name: str) -> None:
    keys = user_keys(f"u:{name}")
    names = [*keys[:6], stream(EVENTS, keys.partition)]
    assert len({key.partition("{")[2].partition("}")[0] for key in names}) == 1
    assert len(set(names)) == len(names)
