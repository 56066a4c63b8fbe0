"""Following, impressions and the export log: one suite that every state store passes."""

import pytest

from app.state import memory, redis_streams
from app.state.keys import PARTITIONS
from app.state.store import EVENTS, IMPRESSIONS, Answer, Cursors, Entry, StoredItem, answer_key
from model.events import Event
from tests.stores import KINDS, REDIS_KINDS, AnyStore, event, run

every_store = pytest.mark.parametrize("kind", KINDS)
USERS = ("ann", "bob", "cem", "dee", "eva")


def events(count: int) -> list[Event]:
    """Events of several users, so that several partitions have some."""
    return [event(number, user=USERS[number % len(USERS)]) for number in range(count)]


def answer(name: str, user: str = "ann") -> Answer:
    return Answer(name, user, 5.0, ["i1", "i2"], [0.9, 0.8], [0.5, 0.25], bundle="b1", context={"device": "tv"})


def ids(entries: list[Entry]) -> list[str]:
    """Event ids of entries, sorted."""
    return sorted(entry.record.event_id for entry in entries if isinstance(entry.record, Event))


@every_store
def test_a_follower_sees_every_change_once(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        assert not await store.follow(Cursors())
        await store.append(events(12))
        await store.put_item(StoredItem("new"))
        await store.activate("b2")
        first = await store.follow(Cursors())
        assert sorted(first.events, key=lambda one: one.timestamp) == events(12)
        assert [one.item_id for one in first.items] == ["new"]
        assert first.active_bundle == "b2"
        assert not first.more
        second = await store.follow(first.cursors)
        assert not second
        assert second.cursors == first.cursors
        await store.append([event(99)])
        assert [one.event_id for one in (await store.follow(first.cursors)).events] == ["e99"]

    run(kind, scenario)


@every_store
def test_events_of_one_user_come_in_order_of_acceptance(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(3), event(1), event(2)])
        assert [one.event_id for one in (await store.follow(Cursors())).events] == ["e3", "e1", "e2"]

    run(kind, scenario)


@every_store
def test_a_follower_without_interest_in_the_past_starts_at_the_newest(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events(5))
        await store.put_item(StoredItem("old"))
        now = await store.newest()
        assert not await store.follow(now)
        await store.append([event(50, user="zoe")])
        await store.put_item(StoredItem("new"))
        changes = await store.follow(now)
        assert [one.event_id for one in changes.events] == ["e50"]
        assert [one.item_id for one in changes.items] == ["new"]

    run(kind, scenario)


@every_store
def test_a_long_past_is_followed_in_pages(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "FOLLOW_LIMIT", 3)
    monkeypatch.setattr(redis_streams, "FOLLOW_LIMIT", 3)

    async def scenario(store: AnyStore) -> None:
        await store.append([event(number) for number in range(7)])
        changes, seen = await store.follow(Cursors()), []
        while changes.more:
            seen += [one.event_id for one in changes.events]
            changes = await store.follow(changes.cursors)
        assert [*seen, *(one.event_id for one in changes.events)] == [f"e{number}" for number in range(7)]

    run(kind, scenario)


@every_store
def test_a_claim_is_given_once_and_again_until_confirmed(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events(10))
        claimed = await store.claim(EVENTS, "here", 100)
        assert ids(claimed) == sorted(one.event_id for one in events(10))
        assert await store.claim(EVENTS, "here", 100) == []
        assert await store.claimed(EVENTS, "here") == claimed
        await store.confirm(EVENTS, claimed[:4])
        assert await store.claimed(EVENTS, "here") == claimed[4:]
        await store.confirm(EVENTS, claimed)
        await store.confirm(EVENTS, [])
        assert await store.claimed(EVENTS, "here") == []

    run(kind, scenario)


@every_store
def test_claims_are_bounded_and_many_claims_come_back_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_streams, "PAGE", 2)

    async def scenario(store: AnyStore) -> None:
        await store.append([event(number) for number in range(7)])
        assert ids(await store.claim(EVENTS, "here", 5)) == ["e0", "e1", "e2", "e3", "e4"]
        assert ids(await store.claim(EVENTS, "here", 5)) == ["e5", "e6"]
        whole = await store.claimed(EVENTS, "here")
        assert ids(whole) == [f"e{number}" for number in range(7)]
        await store.confirm(EVENTS, whole)
        assert await store.claimed(EVENTS, "here") == []

    run(kind, scenario)


@every_store
def test_what_one_consumer_claimed_no_other_is_given_until_it_takes_over(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events(4))
        await store.claim(EVENTS, "lost", 100)
        await store.append([event(50)])
        assert ids(await store.claim(EVENTS, "here", 100)) == ["e50"]
        assert await store.claimed_elsewhere(EVENTS, "here") == 4
        assert await store.take_over(EVENTS, "here") == 4
        assert await store.claimed_elsewhere(EVENTS, "here") == 0
        assert ids(await store.claimed(EVENTS, "here")) == ["e0", "e1", "e2", "e3", "e50"]

    run(kind, scenario)


@every_store
def test_only_what_is_confirmed_is_trimmed(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(number) for number in range(6)])
        assert await store.trim(EVENTS, 0) == 0
        claimed = await store.claim(EVENTS, "here", 5)
        assert await store.trim(EVENTS, 0) == 0
        await store.confirm(EVENTS, claimed[:2])
        await store.confirm(EVENTS, claimed[3:])
        assert await store.trim(EVENTS, 0) == 2
        await store.confirm(EVENTS, claimed)
        assert await store.trim(EVENTS, 0) == 3
        assert [one.event_id for one in (await store.follow(Cursors())).events] == ["e5"]
        assert len((await store.read_user("u:ann")).seen) == 6

    run(kind, scenario)


@every_store
def test_what_is_young_is_kept_for_those_who_follow(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append(events(3))
        await store.confirm(EVENTS, await store.claim(EVENTS, "here", 5))
        assert await store.trim(EVENTS, 60) == 0
        assert await store.trim(EVENTS, 1e12) == 0
        assert await store.trim(EVENTS, 0) == 3

    run(kind, scenario)


@every_store
def test_a_claimed_entry_of_an_erased_user_comes_back_empty(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        await store.append([event(1), event(2, user="bob")])
        claimed = await store.claim(EVENTS, "here", 5)
        await store.erase_user("u:ann")
        again = await store.claimed(EVENTS, "here")
        assert [entry.entry_id for entry in again] == [entry.entry_id for entry in claimed]
        assert sorted(entry.record is None for entry in again) == [False, True]
        await store.confirm(EVENTS, again)
        assert await store.claimed(EVENTS, "here") == []
        assert await store.trim(EVENTS, 0) == 1

    run(kind, scenario)


@every_store
def test_impressions_are_claimed_like_events(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        shown = [answer("r1"), answer("r2", "bob"), answer("r3", "")]
        await store.log_impressions(shown)
        claimed = await store.claim(IMPRESSIONS, "here", 10)
        records = [entry.record for entry in claimed if isinstance(entry.record, Answer)]
        assert sorted(records, key=lambda one: one.recommendation_id) == shown
        await store.confirm(IMPRESSIONS, claimed)
        assert await store.trim(IMPRESSIONS, 0) == 3
        assert await store.claim(EVENTS, "here", 10) == []

    run(kind, scenario)


@every_store
def test_impressions_are_bounded(kind: str) -> None:
    async def scenario(store: AnyStore) -> None:
        bound = 1_600
        store._answers_limit = bound if kind == "memory" else bound // PARTITIONS
        await store.log_impressions([answer(f"r{number}") for number in range(bound + 900)])
        left = len(await store.claim(IMPRESSIONS, "here", 10_000))
        assert left <= bound
        assert left >= 100

    run(kind, scenario)


def test_an_answer_belongs_to_its_user_its_session_or_to_nobody() -> None:
    assert answer_key(Answer("r", "ann", 0.0, [], [], [], session_id="tab")) == "u:ann"
    assert answer_key(Answer("r", "tab", 0.0, [], [], [], session_id="tab")) == "s:tab"
    assert answer_key(Answer("r", "", 0.0, [], [], [])) == "s:r"


@every_store
def test_durability_is_what_the_server_is_set_to(kind: str) -> None:
    expected = {"memory": "memory", "valkey": "aof-everysec", "cluster": "none", "redis": "none"}

    async def scenario(store: AnyStore) -> None:
        await store.ping()
        assert await store.durability() == expected[kind]

    run(kind, scenario)


def test_redis_kinds_are_tested() -> None:
    assert {"valkey", "cluster"} <= set(REDIS_KINDS)
