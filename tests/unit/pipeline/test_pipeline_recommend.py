"""The use case around the engine: one round trip, nothing waits, and every failure is an answer that says so."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

import pytest

from app.pipeline import aside
from app.pipeline.aside import Aside, NewVector
from app.pipeline.asked import Asked
from app.pipeline.engine import Engine
from app.pipeline.ranked import Ranked
from app.pipeline.recommend import IDS_AT_ONCE, LOOP_MOST_S, Recommender, new_ids
from app.pipeline.request import RecommendRequest, SessionEvent
from app.pipeline.user import UserInput
from app.state.memory import MemoryStore
from app.state.store import IMPRESSIONS, Answer, UserState
from model.errors import RequestError, StateError
from model.events import Event
from tests.pipelines import NOW, make_engine, seen_of, shared_engine

T = TypeVar("T")
ASKED = RecommendRequest(user_id="u1", n=10, now=NOW)


class AwayStore(MemoryStore):
    """A store that has gone away."""

    async def read_user(self, user_key: str) -> UserState:
        raise StateError("state", "connection refused", "start it")

    async def log_impressions(self, answers: Sequence[Answer]) -> None:
        raise StateError("state", "connection refused", "start it")


class SlowStore(MemoryStore):
    """A store that takes its time, and counts how often it is read."""

    reads = 0

    async def read_user(self, user_key: str) -> UserState:
        self.reads += 1
        await asyncio.sleep(0.2)
        return await super().read_user(user_key)


def run(
    scenario: Callable[[Recommender], Awaitable[T]], engine: Engine | None = None, store: MemoryStore | None = None
) -> T:
    async def go() -> T:
        recommender = Recommender(engine or shared_engine(), store or MemoryStore())
        try:
            return await scenario(recommender)
        finally:
            await recommender.close()

    return asyncio.run(go())


def test_an_answer_is_the_engines_list() -> None:
    answer = run(lambda one: one.recommend(ASKED))
    ranked = shared_engine().recommend(UserInput("u1"), ASKED)
    assert tuple(one.item_id for one in answer.items) == ranked.item_ids
    assert [one.score for one in answer.items] == ranked.scores.tolist()
    assert answer.items[0].task_scores == dict(
        zip(("interest", "like", "rating"), ranked.values[0].tolist(), strict=True)
    )
    assert [one.position for one in answer.items] == list(range(10))
    assert {one.propensity for one in answer.items} == {1.0}
    assert (answer.fallback, answer.degraded, answer.bundle) == (None, False, "20261124-0000-test")
    assert answer.took_ms > 0
    assert len(answer.recommendation_id) == 32
    assert answer.items[0].reasons is None


def test_feedback_is_seen_by_the_next_request() -> None:
    store = MemoryStore()

    async def scenario(one: Recommender) -> tuple[list[str], list[str]]:
        first = [item.item_id for item in (await one.recommend(ASKED)).items]
        await store.append([Event("e1", "like", "u1", first[0], NOW - 1)])
        return first, [item.item_id for item in (await one.recommend(ASKED)).items]

    first, then = run(scenario, store=store)
    assert first[0] not in then
    assert first != then


def test_every_answer_has_an_id_of_its_own() -> None:
    found = list(islice(new_ids(), 3 * IDS_AT_ONCE))
    assert len(set(found)) == len(found)
    assert {len(one) for one in found} == {32}
    assert all(int(one, 16) >= 0 for one in found)


def test_sessions_have_state_of_their_own() -> None:
    store = MemoryStore()

    async def scenario(one: Recommender) -> tuple[str | None, str | None]:
        asked = RecommendRequest(session_id="s1", now=NOW)
        before = await one.recommend(asked)
        await store.append([Event("e1", "like", "s1", "i3", NOW - 1, session_id="s1")])
        return before.fallback, (await one.recommend(asked)).fallback

    assert run(scenario, store=store) == ("popular", None)


def test_a_new_vector_is_written_back_and_used() -> None:
    store = MemoryStore()

    async def scenario(one: Recommender) -> tuple[UserState, UserState]:
        await store.append([Event("e1", "like", "u1", "i3", NOW - 1)])
        await one.recommend(ASKED)
        await one.flush()
        first = await store.read_user("u:u1")
        await one.recommend(ASKED)
        await one.flush()
        return first, await store.read_user("u:u1")

    first, again = run(scenario, store=store)
    assert first.vector is not None
    assert first.vector_version == first.version
    assert (first.vector, first.vector_stamp) == (again.vector, again.vector_stamp)
    engine = shared_engine()
    assert not engine.user_vector(engine.read(UserInput("u1", again), ASKED)).keep


def test_impressions_go_to_the_stream() -> None:
    store = MemoryStore()

    async def scenario(one: Recommender) -> list[Answer]:
        await one.recommend(replace(ASKED, context={"device": "mobile"}))
        await one.recommend(RecommendRequest(session_id="s1", n=2, now=NOW))
        await one.recommend(RecommendRequest(n=2, now=NOW))
        await one.flush()
        entries = await store.claim(IMPRESSIONS, "test", 10)
        return [entry.record for entry in entries if isinstance(entry.record, Answer)]

    known, session, nobody = run(scenario, store=store)
    assert (known.user, known.session_id, known.timestamp, known.bundle) == ("u1", None, NOW, "20261124-0000-test")
    assert len(known.item_ids) == len(known.scores) == len(known.propensities) == 10
    assert known.context == {"device": "mobile"}
    assert (session.user, session.session_id) == ("s1", "s1")
    assert (nobody.user, nobody.session_id) == ("", None)


def test_a_missing_state_is_an_impersonal_answer_that_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        answer = run(lambda one: one.recommend(replace(ASKED, n=20)), store=AwayStore())
    assert (answer.degraded, answer.fallback, len(answer.items)) == (True, "popular", 20)
    assert not {one.item_id for one in answer.items} & seen_of("u1")
    assert "state of a user not read: state: found 'connection refused'" in caplog.text
    assert "impressions and vectors given up" in caplog.text


def test_with_the_state_away_a_session_told_with_the_request_still_counts() -> None:
    answer = run(lambda one: one.recommend(replace(ASKED, history=[SessionEvent("i3", "like")])), store=AwayStore())
    assert (answer.degraded, answer.fallback) == (True, None)


def test_nobody_needs_no_state() -> None:
    answer = run(lambda one: one.recommend(RecommendRequest(now=NOW)), store=AwayStore())
    assert (answer.degraded, answer.fallback) == (False, "popular")


def test_a_slow_state_is_not_waited_for_longer_than_asked() -> None:
    store = SlowStore()
    answer = run(lambda one: one.recommend(replace(ASKED, timeout_ms=20)), store=store)
    assert (answer.degraded, answer.fallback) == (True, "popular")
    assert 20 <= answer.took_ms < 200
    assert store.reads == 1


def test_the_bundles_own_deadline_holds_when_none_is_asked() -> None:
    answer = run(lambda one: one.recommend(ASKED), make_engine(timeout_ms=20), SlowStore())
    assert answer.degraded


class BrokenEngine(Engine):
    """An engine whose networks fail, or hang."""

    def __init__(self, engine: Engine, failure: Callable[[], None]) -> None:
        self.__dict__.update(engine.__dict__)
        self._failure = failure

    def ranked(self, asked: Sequence[Asked]) -> list[Ranked]:
        self._failure()
        return super().ranked(asked)


def test_a_failing_engine_is_answered_with_popular_items(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise MemoryError("no room")

    with caplog.at_level(logging.ERROR):
        answer = run(lambda one: one.recommend(ASKED), BrokenEngine(shared_engine(), fail))
    assert (answer.degraded, answer.fallback, len(answer.items)) == (True, "popular", 10)
    assert answer.items[0].task_scores == {}
    assert "the engine failed" in caplog.text


def test_a_late_engine_is_answered_with_popular_items() -> None:
    answer = run(
        lambda one: one.recommend(replace(ASKED, timeout_ms=30)), BrokenEngine(shared_engine(), lambda: time.sleep(0.3))
    )
    assert (answer.degraded, answer.fallback) == (True, "popular")
    assert answer.took_ms < 300


class WatchedEngine(BrokenEngine):
    """An engine that notes on which thread it runs, and takes as long as it is told."""

    def __init__(self) -> None:
        self.seconds, self.threads = 0.0, list[str]()
        super().__init__(shared_engine(), self._watch)

    def _watch(self) -> None:
        self.threads.append(threading.current_thread().name.partition("_")[0])
        time.sleep(self.seconds)


def test_a_quick_engine_runs_on_the_event_loop_and_a_slow_or_hurried_one_on_its_thread() -> None:
    engine, own, loop = WatchedEngine(), "polyrank-engine", threading.main_thread().name

    async def scenario(one: Recommender) -> None:
        await one.recommend(ASKED)  # nothing is known yet
        one._lately = 0.002
        await one.recommend(ASKED)
        one._lately = 0.002
        await one.recommend(replace(ASKED, timeout_ms=15))
        one._lately = 0.002
        await one.recommend(replace(ASKED, query="night"))
        one._lately, engine.seconds = 0.002, 0.05
        await one.recommend(ASKED)  # slow for the first time: nobody knew
        await one.recommend(ASKED)

    run(scenario, engine)
    assert engine.threads == [own, loop, own, own, loop, own]


def test_the_event_loop_leaves_the_engine_to_what_its_thread_has_begun() -> None:
    engine = WatchedEngine()

    async def scenario(one: Recommender) -> None:
        one._lately, free = 0.002, threading.Event()
        await one._turn.acquire()
        busy = asyncio.create_task(one._on_thread(free.wait))
        answers = [asyncio.create_task(one.recommend(replace(ASKED, timeout_ms=ms))) for ms in (30, 10_000)]
        await asyncio.sleep(0.2)
        assert [answer.done() for answer in answers] == [True, False]
        free.set()
        await asyncio.gather(busy, *answers)
        assert [answer.result().fallback for answer in answers] == ["popular", None]

    run(scenario, engine)
    assert engine.threads == [threading.main_thread().name]


def test_a_request_that_cannot_be_is_refused() -> None:
    with pytest.raises(RequestError, match="n: found 0"):
        run(lambda one: one.recommend(RecommendRequest(n=0)))


def test_the_stream_is_learned_between_requests(caplog: pytest.LogCaptureFixture) -> None:
    engine = make_engine()
    before = engine.live.counters.total_newest

    async def scenario(one: Recommender) -> None:
        one.learn([Event("e1", "like", "u1", "i3", NOW)])
        one.learn([None])  # type: ignore[list-item]  # what no store gives: it must be logged, not lost

    with caplog.at_level(logging.ERROR):
        run(scenario, engine)
    assert engine.live.counters.total_newest == NOW > before
    assert "events of the stream not counted" in caplog.text


def test_a_user_vector_for_others() -> None:
    vector = run(lambda one: one.user_vector(UserInput("u1")))
    assert vector.shape == (16,)


def test_what_waits_too_long_is_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "PENDING_MOST", 3)

    async def scenario() -> tuple[int, Any]:
        store = MemoryStore()
        writer = Aside(store)
        for place in range(5):
            writer.keep(NewVector(f"u:{place}", b"1234", "stamp", 1))
            writer.note(Answer(str(place), "u1", NOW, [], [], []))
        await writer.flush()
        return writer.lost, await store.claim(IMPRESSIONS, "test", 10)

    lost, entries = asyncio.run(scenario())
    assert lost == 4
    assert [entry.record.recommendation_id for entry in entries] == ["2", "3", "4"]


def test_many_at_once_share_the_engine() -> None:
    engine = WatchedEngine()

    async def scenario(one: Recommender) -> set[tuple[str, ...]]:
        answers = await asyncio.gather(*(one.recommend(ASKED) for _ in range(20)))
        return {tuple(item.item_id for item in answer.items) for answer in answers}

    assert len(run(scenario, engine)) == 1
    assert len(engine.threads) == 2  # batches of 16 and of 4


def test_a_batch_is_no_longer_than_what_the_event_loop_can_be_kept_for() -> None:
    engine = WatchedEngine()

    async def scenario(one: Recommender) -> None:
        one._lately = LOOP_MOST_S / 2.5
        await asyncio.gather(*(one.recommend(ASKED) for _ in range(2)))
        assert len(engine.threads) == 1
        one._lately = LOOP_MOST_S / 1.5
        await asyncio.gather(*(one.recommend(ASKED) for _ in range(2)))
        assert len(engine.threads) == 3

    run(scenario, engine)
    assert set(engine.threads) == {threading.main_thread().name}
