"""Laws of a recommendation, whatever is asked: full, unique, ordered, unseen, repeatable, true to the weights."""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.pipeline.channels import ChannelRequest
from app.pipeline.merge import merge
from app.pipeline.request import RecommendRequest, SessionEvent
from app.pipeline.user import UserInput
from app.state.store import PastEvent, UserState
from model.events import History
from model.features.neighbours import Evidence
from model.features.ranking import neighbour_evidence, ranker_inputs
from tests.graphs import GENRES
from tests.pipelines import ITEMS, NOW, USERS, make_engine, moment_of, recommend, sealed, shared_engine

TASKS = ("interest", "like", "rating")
QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
users = st.sampled_from([*(f"u{row}" for row in range(USERS)), "nobody-knows"])
items = st.sampled_from([f"i{row}" for row in range(ITEMS)])
many = st.lists(items, max_size=12, unique=True)
genres = st.lists(st.sampled_from(GENRES), min_size=1, max_size=3, unique=True)
sessions = st.lists(st.builds(SessionEvent, items, st.sampled_from(["view", "like"])), max_size=5)
weights = st.lists(st.floats(0, 10), min_size=3, max_size=3).filter(any)
requests = st.fixed_dictionaries(
    {"n": st.integers(1, 70)},
    optional={
        "history": sessions,
        "exclude_items": many,
        "exclude_seen": st.booleans(),
        "include": st.fixed_dictionaries({"genres": genres}),
        "exclude": st.fixed_dictionaries({"genres": genres}),
        "query": st.sampled_from(["golden horror", "western road", ""]),
        "diversity": st.sampled_from([0.0, 0.5, 1.0]),
        "context": st.fixed_dictionaries({"device": st.sampled_from(["mobile", "desktop", "fridge"])}),
        "only_items": many,
    },
)


def may_be_answered(user_id: str, asked: dict[str, Any]) -> set[str]:
    """Which items a list may hold, worked out one by one from what the request says."""
    bundle, row = sealed(), sealed().users.row(user_id)
    seen = {one.item_id for one in asked.get("history", [])}
    if row >= 0:
        seen |= {bundle.items.id(one) for one in bundle.user_history(row).rows.tolist()}
    out = set(asked.get("exclude_items", [])) | (seen if asked.get("exclude_seen", True) else set())

    def fits(item_id: str) -> bool:
        genre = GENRES[int(item_id[1:]) % len(GENRES)]
        wanted = asked.get("include", {}).get("genres", GENRES)
        return genre in wanted and genre not in asked.get("exclude", {}).get("genres", [])

    only = asked.get("only_items", bundle.items.names)
    return {one for one in only if one not in out and fits(one)}


@QUIET
@given(users, requests)
def test_a_list_is_full_unique_and_holds_only_what_it_may(user_id: str, asked: dict[str, Any]) -> None:
    allowed = may_be_answered(user_id, asked)
    for found in (
        recommend(shared_engine(), user_id, **asked).item_ids,
        shared_engine().popular(RecommendRequest(user_id=user_id, now=NOW, **asked)).item_ids,
    ):
        assert set(found) <= allowed
        assert len(set(found)) == len(found) == min(asked["n"], len(allowed))


@QUIET
@given(users, requests)
def test_the_same_request_has_the_same_answer(user_id: str, asked: dict[str, Any]) -> None:
    first, again = (recommend(engine, user_id, **asked) for engine in (shared_engine(), make_engine()))
    assert first.item_ids == again.item_ids
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.channels == again.channels


@QUIET
@given(users, requests)
def test_without_diversity_the_order_is_score_then_row(user_id: str, asked: dict[str, Any]) -> None:
    found = recommend(shared_engine(), user_id, **{**asked, "diversity": 0.0})
    rows = np.asarray([sealed().items.row(one) for one in found.item_ids], np.int64)
    np.testing.assert_array_equal(np.lexsort((rows, -found.scores)), np.arange(len(found)))


@QUIET
@given(users, requests, weights)
def test_scores_are_the_weighted_mean_of_the_tasks(user_id: str, asked: dict[str, Any], said: list[float]) -> None:
    found = recommend(shared_engine(), user_id, task_weights=dict(zip(TASKS, said, strict=True)), **asked)
    chances = found.values.astype(np.float64)
    chances[:, 2] = np.clip((chances[:, 2] - 1) / 4, 0, 1)
    shares = np.asarray(said) / max(said)  # first, or a product with 5e-324 has no digits left
    np.testing.assert_allclose(found.scores, chances @ shares / shares.sum(), rtol=1e-5)
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


@QUIET
@given(users, weights, st.integers(0, 2), st.floats(0.1, 20), st.integers(1, 30))
def test_a_higher_weight_never_lowers_the_lists_mean_of_that_task(
    user_id: str, said: list[float], task: int, more: float, n: int
) -> None:
    raised = [weight + more * (place == task) for place, weight in enumerate(said)]
    before, after = (
        recommend(shared_engine(), user_id, n=n, task_weights=dict(zip(TASKS, one, strict=True))).values[:, task].mean()
        for one in (said, raised)
    )
    assert after >= before - 1e-6


evidence = st.lists(st.integers(0, 40), max_size=30, unique=True).map(
    lambda rows: Evidence(np.asarray(rows, np.int64), -np.arange(len(rows), dtype=np.float32))
)
offers = st.dictionaries(st.sampled_from("abcd"), evidence, max_size=4)
quotas = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10), max_size=4)


@given(offers, quotas, st.integers(1, 50))
def test_a_merged_list_is_unique_bounded_and_remembers_its_channels(
    lists: dict[str, Evidence], most: dict[str, int], limit: int
) -> None:
    found = merge(lists, most, limit)
    cut = {name: set(one.top(most.get(name, len(one))).rows.tolist()) for name, one in lists.items()}
    assert found.rows.tolist() == sorted(set(found.rows.tolist()))
    assert len(found) == min(limit, len(set().union(*cut.values())))
    channels = found.channels(np.arange(len(found)))
    for row, named in zip(found.rows.tolist(), channels, strict=True):
        assert set(named) == {name for name, rows in cut.items() if row in rows} != set()


@given(offers, st.integers(1, 50))
def test_a_merge_keeps_the_head_of_every_list(lists: dict[str, Evidence], limit: int) -> None:
    found = set(merge(lists, {}, limit).rows.tolist())
    heads = {int(one.rows[0]) for one in lists.values() if len(one)}
    assert len(heads & found) == min(len(heads), limit)


@QUIET
@given(users, st.lists(items, min_size=1, max_size=20, unique=True), st.randoms())
def test_scores_do_not_depend_on_what_else_is_scored(user_id: str, asked: list[str], random: Any) -> None:
    engine, request = shared_engine(), RecommendRequest(user_id=user_id, now=NOW)
    shuffled = random.sample(asked, len(asked))
    values = dict(zip(asked, engine.score(UserInput(user_id), request, asked), strict=True))
    again = engine.score(UserInput(user_id), request, shuffled)
    np.testing.assert_allclose(again, np.stack([values[one] for one in shuffled]), atol=2e-5)


@QUIET
@given(users)
def test_training_and_serving_read_the_same(user_id: str) -> None:
    """The ranker's inputs of a request are those that the shared features make of the same history."""
    engine, moment = shared_engine(), moment_of(user_id)
    asked = engine.read(UserInput(user_id), RecommendRequest(user_id=user_id, now=NOW, context={"hour": "none"}))
    vector = engine.user_vector(asked).values
    (served,) = engine.evidence([ChannelRequest(asked.moment, vector, asked.allowed, asked.context)])
    rows = np.arange(ITEMS)
    offline = evidence_of_training(moment.history, vector)
    counters, view = sealed().counters(), engine.catalogue.view
    ours = ranker_inputs(sealed().spec, asked.moment, vector, rows, served, view, engine.live.counters, engine.tables)
    tables = {one.name: sealed().neighbours(one.name) for one in sealed().spec.channels if one.kind == "neighbours"}
    theirs = ranker_inputs(sealed().spec, moment, vector, rows, offline, view, counters, tables)
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-6, err_msg=name)


def evidence_of_training(history: History, vector: NDArray[np.float32]) -> dict[str, Evidence]:
    """Every channel's list over unseen items, cut to its size, and what lies beyond, from the bundle's arrays alone."""
    bundle, found = sealed(), {}
    allowed = np.ones(ITEMS, np.bool_)
    allowed[history.rows] = False
    for channel in bundle.spec.channels:
        if channel.kind == "tower":
            scores = bundle.array("item_features/vectors.npy") @ vector
            offered = Evidence.ranked(np.arange(ITEMS), scores)
            found[channel.name] = offered.allowed(allowed).top(channel.size)
            continue
        every = neighbour_evidence(bundle.neighbours(channel.name), channel, history)
        offered = every.allowed(allowed).top(channel.size)
        beyond = ~np.isin(every.rows, offered.rows)
        found[channel.name] = Evidence(offered.rows, offered.scores, every.rows[beyond], every.scores[beyond])
    return found


events = st.lists(st.tuples(items, st.sampled_from(["view", "like", "rating"]), st.integers(0, 40)), max_size=20)


@QUIET
@given(users, events)
def test_what_the_state_holds_is_never_answered(user_id: str, told: list[tuple[str, str, int]]) -> None:
    past = [
        PastEvent(item, kind, NOW - 86400 * days, 5.0) for item, kind, days in sorted(told, key=lambda one: -one[2])
    ]
    state = UserState(events=past, seen=frozenset(one.item_id for one in past), version=1)
    request = RecommendRequest(user_id=user_id, n=70, now=NOW)
    found = shared_engine().recommend(UserInput(user_id, state), request)
    assert not set(found.item_ids) & state.seen
