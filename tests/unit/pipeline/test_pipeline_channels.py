"""Channels that follow the stream: popular by context, fresh; and the query's text search."""

from dataclasses import replace

import numpy as np
import pytest

from app.pipeline.channels.fresh import POOL_MOST, FreshChannel, Freshness
from app.pipeline.channels.popular import LIVE_MOST, REFRESH_S, Popularity
from app.pipeline.channels.query import QueryChannel
from index.encode import ItemEncoder
from model.events import Event
from model.features.counters import ItemCounters
from tests.pipelines import ITEMS, NOW, channel_request, make_engine, put, recommend, sealed

DAY = 86400.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def counted(*rows: int, items: int = 6) -> ItemCounters:
    counters = ItemCounters.empty(items, 1, (DAY,))
    for place, row in enumerate(rows):
        counters.add(row, 1, float(place))
    return counters


def popularity(counters: ItemCounters, clock: Clock, **lists: object) -> Popularity:
    fallbacks = {"popular": ["0", "1", "2", "gone"], "by_context": {"device": {"tv": ["3", "2"]}}} | lists
    return Popularity(counters, fallbacks, lambda name: int(name) if name.isdigit() else -1, clock)


def test_the_pool_is_what_the_bundle_lists_scored_by_the_counters() -> None:
    counters = counted(0, 0, 1)
    pool = popularity(counters, Clock()).evidence({})
    assert pool.rows.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(pool.scores, counters.shares(np.arange(4)).mean(1))


def test_a_context_moves_its_list_up_best_first() -> None:
    lists = popularity(counted(0, 0, 1), Clock())
    plain, tv = lists.evidence({}).scores, lists.evidence({"device": "tv"}).scores
    np.testing.assert_allclose(tv - plain, [0.0, 0.0, 10 / 11, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(lists.evidence({"device": "phone"}).scores, plain)


def test_the_stream_moves_the_order_within_a_second_and_not_on_every_event() -> None:
    counters, clock = counted(0, 0, 1), Clock()
    lists = popularity(counters, clock)
    for _ in range(5):
        counters.add(5, 1, 10.0)
        lists.touch(5)
    assert 5 not in lists.evidence({}).rows
    clock.now = REFRESH_S
    pool = lists.evidence({})
    assert pool.rows[pool.scores.argmax()] == 5
    assert REFRESH_S < 1


def test_only_the_newest_of_the_stream_are_kept() -> None:
    counters, clock = counted(items=LIVE_MOST + 10), Clock()
    lists = popularity(counters, clock, popular=[], by_context={})
    for row in range(LIVE_MOST + 10):
        lists.touch(row)
    clock.now = 1.0
    assert lists.evidence({}).rows.tolist() == list(range(10, LIVE_MOST + 10))


def test_fresh_are_those_first_seen_lately_and_those_added() -> None:
    counters = ItemCounters.empty(6, 1, (DAY,))
    for row, day in enumerate((0.0, 8.0, 9.0, 10.0)):
        counters.add(row, 1, day * DAY)
    fresh = Freshness(counters, 4, 2 * DAY)
    assert fresh.recent().tolist() == [1, 2, 3]
    assert fresh.added(4).tolist() == []
    assert fresh.added(6).tolist() == [4, 5]
    counters.add(0, 1, 11 * DAY)
    assert fresh.recent().tolist() == [2, 3]


def test_the_fresh_pool_is_bounded() -> None:
    size = POOL_MOST + 50
    counters = ItemCounters.empty(size, 1, (DAY,))
    for row in range(size):
        counters.add(row, 1, float(row))
    fresh = Freshness(counters, size, DAY)
    assert fresh.recent().tolist() == list(range(50, size))
    fresh.met(3)
    assert fresh.recent().tolist() == [3, *range(51, size)]
    assert fresh.added(size + 2 * POOL_MOST).tolist() == list(range(size + POOL_MOST, size + 2 * POOL_MOST))


def test_added_items_have_room_beside_recent_ones() -> None:
    engine = make_engine()
    request = channel_request(engine)
    recent = FreshChannel(engine.live.freshness, 6).offer(request)
    rows = [put(engine, f"new{place}") for place in range(5)]
    both = FreshChannel(engine.live.freshness, 6).offer(channel_request(engine))
    assert len(both) == len(recent) == 6
    assert np.isin(rows, both.rows).sum() == 3
    assert set(recent.rows[:3].tolist()) <= set(both.rows.tolist())


def test_a_first_event_makes_an_item_fresh_and_popular() -> None:
    engine = make_engine()
    cold = f"i{ITEMS - 1}"
    assert ITEMS - 1 not in engine.live.freshness.recent()
    for _ in range(30):
        assert engine.apply_event(Event("", "view", "u1", cold, NOW))
    assert ITEMS - 1 in engine.live.freshness.recent()


def test_events_of_unknown_items_and_types_do_not_count() -> None:
    engine = make_engine()
    assert not engine.apply_event(Event("", "view", "u1", "nowhere", NOW))
    assert not engine.apply_event(Event("", "buy", "u1", "i1", NOW))


def test_an_event_that_was_trained_on_does_not_count_again() -> None:
    engine, bundle = make_engine(), sealed()
    history = bundle.user_history(1)
    known = Event(
        "",
        bundle.spec.event_types[history.types[0] - 1],
        "u1",
        bundle.items.id(int(history.rows[0])),
        float(history.times[0]),
    )
    assert not engine.apply_event(known)
    assert engine.apply_event(Event("", known.type, "somebody", known.item_id, known.timestamp))
    assert engine.apply_event(Event("", known.type, "u1", known.item_id, known.timestamp + 0.5))


def test_values_and_run_time_items_are_counted() -> None:
    engine = make_engine()
    row = put(engine, "new")
    assert engine.apply_event(Event("", "rating", "u1", "new", NOW, 5.0))
    assert engine.live.counters.value_count[row] == 1
    assert engine.live.counters.value_sum[row] == 5.0


def test_a_query_answers_by_meaning() -> None:
    engine = make_engine()
    put(engine, "wanted", "silver river horror")
    texts = ItemEncoder(engine.bundle).strings(["silver river horror"])
    asked = replace(channel_request(engine), query=texts[0])
    assert engine.catalogue.id(int(QueryChannel().offer(asked).rows[0])) == "wanted"
    closest = {engine.catalogue.id(row) for row in QueryChannel(30).offer(asked).rows.tolist()}
    found = recommend(engine, query="silver river horror", n=5)
    assert set(found.item_ids) <= closest
    assert found.channels == (("query",),) * 5
    assert found.fallback is None


def test_a_query_reads_texts_in_parts() -> None:
    engine = make_engine()
    asked = replace(channel_request(engine), query=ItemEncoder(engine.bundle).strings(["horror"])[0])
    whole = QueryChannel(7).offer(asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.pipeline.channels.query.CHUNK", 4)
        parts = QueryChannel(7).offer(asked)
    assert parts.rows.tolist() == whole.rows.tolist()


def test_a_blank_query_is_none() -> None:
    engine = make_engine()
    assert recommend(engine, query="  ").item_ids == recommend(engine).item_ids
