"""A cached user vector is used exactly as long as it answers for the user's present history, profile and context."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.pipeline.request import RecommendRequest, SessionEvent
from app.pipeline.user import UserInput
from app.pipeline.vector import UserVector
from app.state.store import PastEvent, UserState
from model.events import History
from tests.pipelines import NOW, make_engine, put, shared_engine

STATE = UserState(events=(PastEvent("i3", "like", NOW - 50),), seen=frozenset({"i3"}), version=7)
ASKED = RecommendRequest(user_id="u1", now=NOW, context={"device": "mobile"})


def vector(state: UserState, request: RecommendRequest = ASKED, **user: Any) -> UserVector:
    engine = shared_engine()
    return engine.user_vector(engine.read(UserInput("u1", state, **user), request))


def kept(state: UserState = STATE) -> UserState:
    """The state after the vector was written back, with numbers that only a cache can give."""
    made = vector(state)
    assert made.keep
    marker = np.full(16, 0.5, "<f4").tobytes()
    return replace(state, vector=marker, vector_stamp=made.stamp, vector_version=state.version)


def is_cached(found: UserVector) -> bool:
    return bool((found.values == 0.5).all()) and not found.keep


def test_the_cached_vector_answers_for_the_same_moment() -> None:
    assert is_cached(vector(kept()))


def test_a_new_event_or_profile_makes_it_stale() -> None:
    assert not is_cached(vector(replace(kept(), version=8)))


@pytest.mark.parametrize(
    "changes", [{"context": {"device": "desktop"}}, {"context": {}}, {"now": NOW + 40 * 86400}, {"now": NOW - 45}]
)
def test_another_context_or_a_longer_gap_makes_it_stale(changes: Mapping[str, Any]) -> None:
    assert not is_cached(vector(kept(), replace(ASKED, **changes)))


def test_a_session_told_with_the_request_neither_uses_nor_replaces_it() -> None:
    found = vector(kept(), replace(ASKED, history=[SessionEvent("i5", "view")]))
    assert not is_cached(found)
    assert not found.keep


def test_a_batch_or_a_missing_state_neither_uses_nor_replaces_it() -> None:
    assert not vector(kept(), given=History.of()).keep
    assert not vector(kept(), away=True).keep
    assert not vector(UserState(), RecommendRequest(now=NOW)).keep


def test_bytes_of_another_width_are_not_used() -> None:
    assert not is_cached(vector(replace(kept(), vector=b"\0" * 8)))


def test_an_item_that_joins_the_catalogue_makes_it_stale() -> None:
    engine = make_engine()
    state = UserState(events=(PastEvent("new", "view", NOW - 50),), version=3)
    before = engine.user_vector(engine.read(UserInput("u1", state), ASKED))
    put(engine, "new")
    after = engine.user_vector(engine.read(UserInput("u1", state), ASKED))
    assert before.stamp != after.stamp
    assert not np.allclose(before.values, after.values)


def test_it_is_the_towers_own() -> None:
    engine = shared_engine()
    asked = engine.read(UserInput("u1", STATE), ASKED)
    np.testing.assert_array_equal(
        engine.vector_of(UserInput("u1", STATE), ASKED), engine.networks.user_vector(asked.moment, asked.view)
    )
