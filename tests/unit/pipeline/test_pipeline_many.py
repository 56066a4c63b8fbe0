"""Many requests at once: each is answered as it would be alone, with one run of each graph and one search for all."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.pipeline.engine import Engine
from app.pipeline.many import recommend_many
from app.pipeline.ranked import Ranked
from app.pipeline.recommend import Recommender
from app.pipeline.request import RecommendRequest, SessionEvent
from app.pipeline.stack import padded, together
from app.pipeline.user import UserInput
from app.state.memory import MemoryStore
from model.errors import RequestError
from model.features.ranking import ranker_inputs, user_tower_inputs
from model.features.sessions import Session
from tests.pipelines import NOW, channel_request, make_engine, moment_of, put, shared_engine

ASKED = [
    RecommendRequest(user_id="u1", n=10, now=NOW),
    RecommendRequest(user_id="u2", n=3, now=NOW, exclude_items=("i5", "i6")),
    RecommendRequest(user_id="u19", n=10, now=NOW),  # no history
    RecommendRequest(n=5, now=NOW, context={"device": "mobile"}),  # nobody in particular
    RecommendRequest(session_id="s", n=5, now=NOW, history=(SessionEvent("i3", "like"),)),
    RecommendRequest(user_id="u3", n=5, now=NOW, include={"genres": ["drama"]}),
    RecommendRequest(user_id="u4", n=5, now=NOW, query="a golden night"),
    RecommendRequest(user_id="u1", n=10, now=NOW, exclude_seen=False),
    RecommendRequest(user_id="u5", n=10, now=NOW, diversity=0.5, explain=True),
]


class Counted:
    """A session that counts its runs."""

    def __init__(self, session: Session) -> None:
        self.session, self.runs = session, 0

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        self.runs += 1
        return self.session.run(output_names, input_feed)

    def get_inputs(self) -> Sequence[Any]:
        return self.session.get_inputs()

    def get_providers(self) -> Sequence[str]:
        return self.session.get_providers()


def counted(engine: Engine) -> tuple[Counted, Counted]:
    tower, ranker = Counted(engine.networks.tower), Counted(engine.networks.ranker)
    engine.networks.tower, engine.networks.ranker = tower, ranker
    return tower, ranker


def check_same(one: Ranked | Exception, other: Ranked) -> None:
    assert isinstance(one, Ranked)
    assert one.item_ids == other.item_ids
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    np.testing.assert_allclose(one.values, other.values, atol=1e-5)
    assert (one.channels, one.fallback) == (other.channels, other.fallback)
    assert (one.reasons is None) == (other.reasons is None)
    assert one.vector is not None
    assert other.vector is not None
    np.testing.assert_allclose(one.vector.values, other.vector.values, atol=1e-5)
    assert (one.vector.stamp, one.vector.keep) == (other.vector.stamp, other.vector.keep)


@pytest.mark.parametrize("changed", [False, True])
def test_together_as_alone(changed: bool) -> None:
    engine = make_engine()
    if changed:
        put(engine, "new", "a wild storm")
        put(engine, "i7", "another storm")
        engine.catalogue.hide("i9")
        engine.catalogue.delete("i11")
    asked = [(UserInput(one.user_id), one) for one in ASKED]
    alone = [engine.recommend(*one) for one in asked]
    tower, ranker = counted(engine)
    many = recommend_many(engine, asked)
    for one, other in zip(many, alone, strict=True):
        check_same(one, other)
    assert (tower.runs, ranker.runs) == (1, 1)


def test_what_cannot_be_answered_fails_alone() -> None:
    engine, broken = shared_engine(), replace(ASKED[0], n=0)
    asked = [(UserInput("u1"), ASKED[0]), (UserInput("u1"), broken), (UserInput("u2"), ASKED[1])]
    first, failed, last = recommend_many(engine, asked)
    assert isinstance(failed, RequestError)
    check_same(first, engine.recommend(*asked[0]))
    check_same(last, engine.recommend(*asked[2]))


def test_nothing_asked_is_nothing_answered() -> None:
    assert recommend_many(shared_engine(), []) == []


def test_a_cached_vector_is_taken() -> None:
    engine = make_engine()
    first = engine.recommend(UserInput("u1"), ASKED[0])
    assert first.vector is not None
    user = UserInput("u1")
    state = replace(user.state, vector=first.vector.values.tobytes(), vector_stamp=first.vector.stamp)
    tower, _ = counted(engine)
    check_same(
        recommend_many(engine, [(replace(user, state=state), ASKED[0])])[0],
        replace(first, vector=replace(first.vector, keep=False)),
    )
    assert tower.runs == 0


def test_padding_changes_no_output() -> None:
    engine = shared_engine()
    spec, view, networks = engine.bundle.spec, engine.catalogue.view, engine.networks
    users = ["u1", "u2", "u3", "u19"]
    towers = [user_tower_inputs(spec, moment_of(user), view) for user in users]
    alone = [networks.tower.run(["user_vector"], one)[0][0] for one in towers]
    np.testing.assert_allclose(together(networks.tower, "user_vector", towers), alone, atol=1e-5)
    rankers = []
    for user, size in zip(users, (3, 60, 17, 1), strict=True):
        asked = channel_request(engine, user)
        rows, (offers,) = np.arange(size), engine.evidence([asked])
        rankers.append(
            ranker_inputs(spec, asked.moment, asked.vector, rows, offers, view, engine.live.counters, engine.tables)
        )
    assert padded(rankers)["candidate_vectors"].shape == (4, 60, spec.dim)
    for inputs, logits in zip(rankers, together(networks.ranker, "logits", rankers), strict=True):
        np.testing.assert_allclose(logits, networks.ranker.run(["logits"], inputs)[0][0], atol=2e-5)


def test_one_search_finds_what_many_do() -> None:
    check_search_of_many()


def check_search_of_many() -> None:
    engine = make_engine()
    put(engine, "new", "a wild storm")
    engine.catalogue.delete("i11")
    view, generator = engine.catalogue.view, np.random.default_rng(0)
    queries = generator.normal(size=(5, engine.bundle.spec.dim)).astype(np.float32)
    excluded = [np.sort(generator.permutation(60)[:size]).astype(np.int64) for size in (0, 1, 5, 30, 59)]
    for k in (1, 10, 61):
        for query, out, found in zip(queries, excluded, view.search_many(queries, k, excluded), strict=True):
            one = view.search(query, k, None, out)
            assert found.rows.tolist() == one.rows.tolist()
            np.testing.assert_allclose(found.scores, one.scores, atol=1e-5)


def test_very_many_excluded_rows_are_searched_for_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.view.OVERFETCH", 3)
    check_search_of_many()


def test_requests_that_come_together_are_ranked_together() -> None:
    engine = make_engine(together=16, wait_ms=50.0)
    _, ranker = counted(engine)

    async def scenario() -> list[Any]:
        recommender = Recommender(engine, MemoryStore())
        try:
            asked = [recommender.recommend(one) for one in [*ASKED, replace(ASKED[0], n=0)]]
            return list(await asyncio.gather(*asked, return_exceptions=True))
        finally:
            await recommender.close()

    *answers, refused = asyncio.run(scenario())
    assert ranker.runs == 1
    assert isinstance(refused, RequestError)
    for request, answer in zip(ASKED, answers, strict=True):
        alone = engine.recommend(UserInput(request.user_id), request)
        assert tuple(item.item_id for item in answer.items) == alone.item_ids
        assert not answer.degraded


def test_a_deadline_in_a_batch_is_kept() -> None:
    engine = make_engine(together=16, wait_ms=2_000.0)

    async def scenario() -> Any:
        recommender = Recommender(engine, MemoryStore())
        try:
            return await recommender.recommend(replace(ASKED[0], timeout_ms=30))
        finally:
            await recommender.close()

    answer = asyncio.run(scenario())
    assert (answer.fallback, answer.degraded) == ("popular", True)


def test_very_different_lengths_have_runs_of_their_own() -> None:
    engine = shared_engine()
    view, spec = engine.catalogue.view, engine.bundle.spec
    asked = channel_request(engine, "u1")
    (offers,) = engine.evidence([asked])
    lengths = (500, 1, 300, 2)
    inputs = [
        ranker_inputs(
            spec,
            asked.moment,
            asked.vector,
            np.arange(size) % len(view),
            offers,
            view,
            engine.live.counters,
            engine.tables,
        )
        for size in lengths
    ]
    ranker = Counted(engine.networks.ranker)
    found = together(ranker, "logits", inputs)
    assert [len(one) for one in found] == list(lengths)
    assert ranker.runs == 2
    for one, alone in zip(found, inputs, strict=True):
        np.testing.assert_allclose(one, together(engine.networks.ranker, "logits", [alone])[0], atol=1e-5)
