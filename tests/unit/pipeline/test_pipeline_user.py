"""One history from three sources: training, state, session."""

import numpy as np
import pytest

from app.pipeline.context import ContextReader
from app.pipeline.request import SessionEvent
from app.pipeline.user import People, UserInput, before, in_order, joined
from app.state.store import PastEvent, UserState
from model.bundle import Bundle
from model.events import History
from tests.pipelines import NOW, make_engine, sealed, shared_engine

VIEW = shared_engine().catalogue.view
CONTEXTS = ContextReader(sealed().spec, sealed().manifest.recipe)
PEOPLE = People(sealed(), CONTEXTS)
BEFORE = sealed().spec.model_copy(update={"own_contexts": False})
TRAINED = sealed().user_history(sealed().users.row("u1"))


def state(*events: PastEvent, **more: object) -> UserState:
    return UserState(events=events, seen=frozenset(one.item_id for one in events), **more)  # type: ignore[arg-type]  # fields


def test_newer_events_follow_the_training_history_and_the_session_comes_last() -> None:
    user = UserInput("u1", state(PastEvent("i3", "like", NOW - 50)))
    person = PEOPLE.person(VIEW, user, [SessionEvent("i7", "rating", 4.0)], NOW)
    assert person.history.rows[:-2].tolist() == TRAINED.rows.tolist()
    assert person.history.rows[-2:].tolist() == [3, 7]
    assert person.history.types[-2:].tolist() == [2, 3]
    assert person.history.times[-2:].tolist() == [NOW - 50, NOW]
    np.testing.assert_array_equal(person.history.values[-2:], [np.nan, 4.0])


def test_a_history_tells_in_which_context_each_event_happened() -> None:
    events = (
        PastEvent("i3", "like", NOW - 50, None, '{"device":"desktop","hour":3}'),
        PastEvent("i4", "view", NOW - 40),
    )
    person = PEOPLE.person(VIEW, UserInput("u1", state(*events)), [SessionEvent("i7", "view")], NOW)
    hour = 1 + int(NOW // 3600) % 24
    assert person.history.contexts[-3:].tolist() == [[2, 4], [0, hour], [0, hour]]
    assert person.history.contexts[:-3].tolist() == TRAINED.contexts.tolist()


def test_a_sessions_events_happened_in_the_requests_context() -> None:
    session = [SessionEvent("i7", "view"), SessionEvent("i8", "view", timestamp=NOW - 7200)]
    person = PEOPLE.person(VIEW, UserInput("u1"), session, NOW, {"device": "mobile"})
    hour = 1 + int(NOW // 3600) % 24
    assert person.history.contexts[-2:].tolist() == [[1, hour], [1, 1 + (hour - 3) % 24]]
    assert PEOPLE.person(VIEW, UserInput("u1"), session, NOW).history.contexts[-1, 0] == 0


def test_a_bundle_that_reads_no_contexts_of_events_is_told_none() -> None:
    plain = Bundle(sealed().path, sealed().manifest.model_copy(update={"spec": BEFORE}))
    people = People(plain, ContextReader(BEFORE, {}))
    told = state(PastEvent("i3", "like", NOW - 50, None, '{"device":"desktop"}'))
    assert people.person(VIEW, UserInput(None, told), [], NOW).history.contexts.shape == (1, 0)


def test_seen_covers_training_feedback_and_session_sorted_and_once() -> None:
    user = UserInput("u1", state(PastEvent("i3", "like", NOW - 50)))
    person = PEOPLE.person(VIEW, user, [SessionEvent("i7", "view"), SessionEvent("i3", "view")], NOW)
    assert person.seen.tolist() == sorted({*TRAINED.rows.tolist(), 3, 7})


def test_seen_items_beyond_the_newest_events_count_too() -> None:
    user = UserInput("u19", UserState(seen=frozenset({"i4", "unknown"})))
    assert PEOPLE.person(VIEW, user, [], NOW).seen.tolist() == [4]


def test_only_declared_types_make_an_item_seen() -> None:
    people = People(sealed(), CONTEXTS, ["like"])
    user = UserInput("u19", state(PastEvent("i3", "like", NOW - 50), PastEvent("i4", "view", NOW - 40)))
    assert people.person(VIEW, user, [SessionEvent("i5", "like"), SessionEvent("i6", "view")], NOW).seen.tolist() == [
        3,
        5,
    ]


def test_what_both_sources_hold_counts_once() -> None:
    spec, row = sealed().spec, int(TRAINED.rows[2])
    known = PastEvent(sealed().items.id(row), spec.event_types[TRAINED.types[2] - 1], float(TRAINED.times[2]))
    late = PastEvent("i9", "view", float(TRAINED.times[2]) + 1e-3)
    person = PEOPLE.person(VIEW, UserInput("u1", state(known, late)), [], NOW)
    assert len(person.history) == len(TRAINED) + 1
    assert person.history.rows[3] == 9
    assert (np.diff(person.history.times) >= 0).all()


def test_unknown_items_and_types_are_left_out() -> None:
    user = UserInput(
        None, state(PastEvent("nowhere", "view", 1.0), PastEvent("i1", "buy", 2.0), PastEvent("i2", "view", 3.0))
    )
    assert PEOPLE.person(VIEW, user, [], NOW).history.rows.tolist() == [2]


def test_an_erased_user_starts_from_nothing() -> None:
    user = UserInput("u1", state(PastEvent("i3", "like", NOW - 50), erased_at=NOW - 100))
    person = PEOPLE.person(VIEW, user, [], NOW)
    assert person.history.rows.tolist() == [3]
    assert person.seen.tolist() == [3]
    assert not person.profile.any()


def test_with_the_state_away_nothing_personal_is_used_but_what_is_seen_stays_hidden() -> None:
    person = PEOPLE.person(VIEW, UserInput("u1", away=True), [SessionEvent("i7", "view")], NOW)
    assert person.history.rows.tolist() == [7]
    assert not person.profile.any()
    assert person.seen.tolist() == sorted({*TRAINED.rows.tolist(), 7})


def test_a_given_history_replaces_the_others() -> None:
    given = History.of([8], [1], [np.nan], [5.0])
    person = PEOPLE.person(VIEW, UserInput("u1", given=given), [], NOW)
    assert person.history.rows.tolist() == person.seen.tolist() == [8]
    assert person.profile.any()


def test_a_profile_put_at_run_time_replaces_the_bundles() -> None:
    spec = sealed().spec
    person = PEOPLE.person(VIEW, UserInput("u1", UserState(profile={"age": 30})), [], NOW)
    assert person.profile.tolist() == spec.profile_ids({"age": 30}).tolist()
    known = PEOPLE.person(VIEW, UserInput("u1"), [], NOW).profile
    assert known.tolist() == spec.profile_ids(sealed().user_record(1).profile).tolist()


def test_an_item_added_at_run_time_joins_the_history() -> None:
    from tests.pipelines import put

    engine = make_engine()
    row = put(engine, "new")
    user = UserInput(None, state(PastEvent("new", "view", 1.0)))
    assert PEOPLE.person(engine.catalogue.view, user, [], NOW).history.rows.tolist() == [row] == [60]


def test_untimed_training_comes_first() -> None:
    untimed = History.of([1, 2], [1, 1], [np.nan] * 2, [np.nan] * 2)
    assert joined(untimed, History.of([3], [1], [np.nan], [5.0])).rows.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("now", "rows"), [(20.0, [1]), (20.5, [1, 2]), (float("nan"), [1, 2, 3])])
def test_before_is_strict(now: float, rows: list[int]) -> None:
    history = History.of([1, 2, 3], [1, 1, 1], [np.nan] * 3, [10.0, 20.0, 30.0])
    assert before(history, now).rows.tolist() == rows


def test_ties_of_time_stay_as_they_stand() -> None:
    history = History.of([1, 2, 3], [1, 1, 1], [np.nan] * 3, [20.0, 10.0, 20.0])
    assert in_order(history).rows.tolist() == [2, 1, 3]
