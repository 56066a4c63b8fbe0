"""Slates: what they hold, and that nothing in them knows the future."""

from dataclasses import replace

import numpy as np
import pytest

from model.config import Task
from model.features.counters import ItemCounters
from model.features.neighbours import Evidence
from model.features.ranking import ArrayItems, candidate_feature_names
from model.features.spec import ChannelSpec, FeatureSpec, TaskSpec
from model.train.channels import cooccurrence
from model.train.counting import count
from model.train.metrics import MISSED
from model.train.moments import PAD, Moments
from model.train.rank import Objective, list_ranks, list_relevance
from model.train.slates import (
    EMPTY,
    OFFERED,
    POSITIVE,
    RANDOM,
    Draw,
    Knowledge,
    SlateBuilder,
    Slates,
    best,
    merged,
)
from tests.logs import make_log

ITEMS, USERS, ROWS = 12, 6, 240
SPEC = FeatureSpec(
    event_types=("rating",),
    tasks=(
        TaskSpec(name="interest", kind="binary"),
        TaskSpec(name="rating", kind="regression", low=1, high=5),
        TaskSpec(name="next", kind="next_item"),
    ),
    dim=4,
    max_attributes=1,
    max_profile=1,
    rank_history=5,
    value_low=1,
    value_high=5,
    channels=(
        ChannelSpec(name="tower", kind="tower", size=3),
        ChannelSpec(name="cooccurrence", kind="neighbours", decay=0.8, size=4),
    ),
)
TASKS = (
    Task(name="interest", kind="binary", label="value > 0", negatives=2),
    Task(name="rating", kind="regression", label="value"),
    Task(name="next", kind="next_item"),
)
RNG = np.random.default_rng(1)
# every user goes through all items in an order of its own, twice
ORDER = np.concatenate([np.tile(RNG.permutation(ITEMS), 2) for _ in range(USERS)])
SHUFFLED = RNG.permutation(USERS * 2 * ITEMS)
RATINGS = RNG.integers(1, 6, len(ORDER)).astype(float)
LOG = make_log(
    user=np.repeat(np.arange(USERS), 2 * ITEMS),
    item=ORDER,
    time=np.arange(len(ORDER)) * 60.0,
    value=RATINGS,
    labels=np.stack([np.ones(len(ORDER)), RATINGS, np.ones(len(ORDER))], axis=1),
)
VECTORS = RNG.normal(size=(ITEMS, 4)).astype(np.float32)
CATALOGUE = ArrayItems(VECTORS, np.zeros((ITEMS, 1), np.int32))


def build(rows: list[int], log: object = LOG, draw: Draw | None = None, fixed: bool = False) -> Slates:
    mine = LOG if log is LOG else log
    assert isinstance(mine, type(LOG))
    moments = Moments(SPEC, mine, USERS)
    known = Knowledge(
        {"cooccurrence": cooccurrence(LOG.take(slice(0, 60)).by_user(USERS), ITEMS)},
        count(SPEC, ITEMS, LOG.take(slice(0, 60))) if fixed else None,
        mine,
        CATALOGUE,
        np.ones(ITEMS, bool),
    )
    builder = SlateBuilder(
        SPEC, moments, np.zeros((len(mine), 1), np.int64), np.zeros((USERS, 1), np.int32), draw or Draw(4, 3)
    )
    vectors = np.ones((len(rows), 4), np.float32)
    return builder.build(np.asarray(rows), vectors, known, np.random.default_rng(0))


def test_the_positive_comes_first_then_what_is_offered_then_the_rest() -> None:
    slates = build([5, 30, 100])
    assert (slates.role[:, 0] == POSITIVE).all()
    assert slates.candidates[:, 0].tolist() == LOG.item[[5, 30, 100]].tolist()
    for roles in slates.role.tolist():
        order = {POSITIVE: 0, OFFERED: 1, RANDOM: 2, EMPTY: 3}
        assert [order[one] for one in roles] == sorted(order[one] for one in roles)
    assert ((slates.candidates == PAD) == (slates.role == EMPTY)).all()


def test_a_list_of_what_is_done_again_holds_what_its_user_had() -> None:
    once, again = 2 * ITEMS + 4, 3 * ITEMS + 4  # of the second user: the first time, and the second one
    plain, slates = build([once, again]), build([once, again], draw=Draw(ITEMS, 0, whole=True, again=True))
    assert plain.fresh.tolist() == [True, False]
    assert slates.fresh.tolist() == [True, True]
    others = [set(slates.candidates[place][slates.role[place] == OFFERED].tolist()) for place in range(2)]
    assert not others[0] & set(ORDER[2 * ITEMS : once].tolist())
    assert others[1] == set(range(ITEMS)) - {int(ORDER[again])}  # the user had had all
    assert slates.offered[1]
    assert np.nanmax(list_relevance(slates, 0)[1]) == 1
    assert np.isnan(list_relevance(plain, 0)[1]).all()


def test_half_of_what_a_list_of_something_done_again_draws_is_what_its_user_had() -> None:
    log = make_log(
        user=[1] * 6, item=[0, 1, 2, 3, 4, 0], time=np.arange(6) * 60.0, value=np.ones(6), labels=np.ones((6, 3))
    )
    slates = build([5] * 400, log=log, draw=Draw(4, 1, again=True))
    offered = [slates.candidates[place][slates.role[place] == OFFERED] for place in range(400)]
    assert {(len(rows), int((rows < 5).sum())) for rows in offered} == {(4, 2)}
    others, chances = slates.candidates[:, 1:], np.exp(slates.log_chance[:, 1:])
    for item in range(1, ITEMS):
        often = float((others == item).sum()) / 400
        assert float(chances[others == item].mean()) == pytest.approx(often, abs=0.1)


def test_the_chance_of_a_candidate_is_how_often_it_is_drawn() -> None:
    slates = build([26] * 1500, draw=Draw(2, 1))
    others, chances = slates.candidates[:, 1:], np.exp(slates.log_chance)
    drawn = {row: float((others == row).sum()) / len(slates) for row in range(ITEMS)}
    told = {row: float(chances[:, 1:][others == row].mean()) for row in range(ITEMS) if drawn[row]}
    assert len(told) == ITEMS - 3  # two were had, one is what happened
    assert all(told[row] == pytest.approx(drawn[row], abs=0.04) for row in told)
    offered = build([26], draw=Draw(50, 1)).candidates[0][build([26], draw=Draw(50, 1)).role[0] == OFFERED]
    assert {row for row, chance in told.items() if chance > 0.2} == set(offered.tolist())
    positives = build(list(range(24, 30)), draw=Draw(2, 1))
    np.testing.assert_array_equal(np.exp(positives.log_chance[:, 0]) > 0.2, positives.offered)


def test_nothing_seen_is_offered_or_drawn() -> None:
    slates = build(list(range(len(LOG))))
    moments = Moments(SPEC, LOG, USERS)
    for place, row in enumerate(slates.row.tolist()):
        others = slates.candidates[place, 1:]
        assert not np.isin(others[others != PAD], moments.history(row).rows).any()
        assert LOG.item[row] not in others
    second_round = np.arange(len(LOG)) % (2 * ITEMS) >= ITEMS
    assert np.array_equal(slates.fresh, ~second_round)


def test_only_the_positive_carries_the_rows_labels() -> None:
    slates = build([7, 60])
    np.testing.assert_array_equal(slates.labels[:, 0], LOG.labels[[7, 60]])
    assert np.isnan(slates.labels[:, 1:]).all()


@pytest.mark.parametrize("fixed", [False, True])
def test_a_slate_does_not_change_when_its_future_does(fixed: bool) -> None:
    rows = [20, 50, 70]
    future = np.arange(len(LOG)) > 70
    other = replace(
        LOG,
        item=np.where(future, (LOG.item + 5) % ITEMS, LOG.item),
        value=np.where(future, np.float32(1.0), LOG.value),
        labels=np.where(future[:, None], np.float32(0.0), LOG.labels),
    )
    mine, theirs = build(rows, fixed=fixed), build(rows, other, fixed=fixed)
    for name in ("candidates", "features", "user_features", "labels", "rows", "gaps", "fresh", "offered"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)


def test_by_time_counters_have_counted_what_was_before_and_not_the_event_itself() -> None:
    names = candidate_feature_names(SPEC)
    share = names.index("share:rating:all")
    slates = build([0, 30])
    assert (slates.features[0, slates.role[0] != EMPTY, share] == 0.0).all()
    before = count(SPEC, ITEMS, LOG.take(slice(0, 30)))
    rows = slates.candidates[1, slates.role[1] != EMPTY]
    np.testing.assert_allclose(slates.features[1, : len(rows), share], before.shares(rows)[:, -1], rtol=1e-6)


@pytest.mark.parametrize("timed", [True, False])
def test_counting_at_once_equals_counting_one_by_one(timed: bool) -> None:
    half = np.arange(len(LOG)) % 2 == 0
    log = replace(LOG, value=np.where(half, LOG.value, np.float32(np.nan)))
    log = log if timed else replace(log, time=np.full(len(log), np.nan))
    at_once = count(SPEC, ITEMS + 1, log)
    one_by_one = ItemCounters.empty(ITEMS + 1, 1, SPEC.half_lives)
    for place in range(len(log)):
        event = (int(log.item[place]), int(log.type[place]), float(log.time[place]), float(log.value[place]))
        one_by_one.add(*event)
    for name in ("counts", "newest", "first", "value_sum", "value_count", "total", "total_newest"):
        np.testing.assert_allclose(getattr(at_once, name), getattr(one_by_one, name), rtol=1e-9, err_msg=name)


def test_the_whole_list_is_as_it_would_be_served() -> None:
    slates = build([40], draw=Draw(50, 0, whole=True))
    assert slates.offered[0] == (LOG.item[40] in slates.candidates[0, 1:] or slates.offered[0])
    assert (slates.role[0] == OFFERED).sum() <= 3 + 4


def test_random_negatives_are_labelled_for_tasks_that_ask_and_next_item_is_left_to_the_list() -> None:
    slates = build([5, 30])
    labels = Objective(SPEC, TASKS).labels(slates)
    drawn = slates.role == RANDOM
    assert (np.nansum(labels[..., 0] == 0.0, axis=1) <= 2).all()
    assert np.isnan(labels[..., 0][slates.role == OFFERED]).all()
    assert np.isnan(labels[..., 1][drawn]).all()
    assert np.isnan(labels[..., 2]).all()
    assert Objective(SPEC, TASKS).lists == [0, 2]


def test_lists_are_over_what_is_new_to_the_user_alone() -> None:
    slates = build([5, 30])  # row 30 is of the second user, row 5 of the first round
    again = build([15])  # the second round: the item was in the history
    relevance = list_relevance(slates, 0)
    assert (np.nansum(relevance, axis=1) == 1.0).all()
    assert np.isnan(relevance[slates.role == EMPTY]).all()
    assert np.isnan(list_relevance(again, 0)).all()


def test_the_rank_in_a_list_counts_offered_items_alone_and_what_no_channel_offers_is_missed() -> None:
    slates = build([5], draw=Draw(50, 3, whole=True))
    scores = np.where(slates.role == RANDOM, 9.0, np.where(slates.role == POSITIVE, 1.0, 2.0)).astype(np.float32)
    offered = replace(slates, offered=np.asarray([True]))
    assert list_ranks(offered, scores).tolist() == [int((slates.role == OFFERED).sum())]
    assert list_ranks(replace(slates, offered=np.asarray([False])), scores).tolist() == [MISSED]
    assert list_ranks(replace(offered, fresh=np.asarray([False])), scores).tolist() == [MISSED]


def test_merged_takes_from_the_lists_in_turn_each_item_once() -> None:
    lists = {
        "a": Evidence(np.asarray([3, 1, 5]), np.ones(3, np.float32)),
        "b": Evidence(np.asarray([1, 2]), np.ones(2, np.float32)),
    }
    assert merged(lists).tolist() == [3, 1, 2, 5]
    assert merged(lists, 2).tolist() == [3, 1]
    assert merged({}).tolist() == []


def test_best_leaves_out_what_is_not_allowed() -> None:
    allowed = np.asarray([True, False, True, True])
    found = best(np.asarray([1.0, 9.0, 1.0, 2.0], np.float32), allowed, 3)
    assert found.rows.tolist() == [3, 0, 2]
    assert not len(best(np.ones(4, np.float32), np.zeros(4, bool), 3))


def test_slates_can_be_taken_and_joined() -> None:
    slates = build([5, 30, 100])
    joined = Slates.concatenate([slates.take(slice(0, 1)), slates.take(np.asarray([1, 2]))])
    np.testing.assert_array_equal(joined.features, slates.features)


def test_a_newcomer_is_what_the_ranker_would_read_of_an_item_put_at_run_time() -> None:
    content = RNG.normal(size=(ITEMS, 4)).astype(np.float32)
    guises = ArrayItems(np.concatenate([VECTORS, content, content]), np.zeros((3 * ITEMS, 1), np.int32))
    tables = {"cooccurrence": cooccurrence(LOG.take(slice(0, 60)).by_user(USERS), ITEMS)}
    counters = count(SPEC, ITEMS, LOG.take(slice(0, 60)))
    known = Knowledge(tables, counters, LOG, guises, np.ones(ITEMS, bool))
    moments, user = Moments(SPEC, LOG, USERS), np.ones((1, 4), np.float32)
    context, profile = np.zeros((len(LOG), 1), np.int64), np.zeros((USERS, 1), np.int32)
    builder = SlateBuilder(SPEC, moments, context, profile, Draw(4, 3, newcomers=1.0))
    slates = builder.build(np.asarray([30]), user, known, np.random.default_rng(0))
    rows = slates.candidates[0, slates.role[0] != EMPTY]
    assert (rows >= ITEMS).all()
    assert rows[0] % ITEMS == LOG.item[30]
    found = dict(zip(candidate_feature_names(SPEC), slates.features[0, : len(rows)].T, strict=True))
    np.testing.assert_allclose(found["tower:score"], content[rows % ITEMS].sum(1), rtol=1e-5)
    assert (found["cooccurrence:score"] == 0).all()
    assert (found["cooccurrence:rank"] == 0).all()
    assert (found["cross:seen"] == 0).all()
    counters.grow(3 * ITEMS)
    values = np.empty((len(rows), 1), np.float32)
    counters.fill_values(rows, SPEC.value_low, SPEC.value_high, values)
    np.testing.assert_allclose(found["item:value"], values[:, 0], rtol=1e-6)
    best = np.argmax(found["tower:score"])
    assert found["tower:rank"][best] == found["tower:rank"].max() > 0


def test_candidates_without_ids_are_all_of_one_guise() -> None:
    guises = ArrayItems(np.concatenate([VECTORS] * 3), np.zeros((3 * ITEMS, 1), np.int32))
    known = Knowledge({}, count(SPEC, ITEMS, LOG.take(slice(0, 60))), LOG, guises, np.ones(ITEMS, bool))
    context, profile = np.zeros((len(LOG), 1), np.int64), np.zeros((USERS, 1), np.int32)
    builder = SlateBuilder(SPEC, Moments(SPEC, LOG, USERS), context, profile, Draw(4, 4, nameless=True))
    slates = builder.build(np.asarray([5, 30]), np.ones((2, 4), np.float32), known, np.random.default_rng(0))
    real = slates.role != EMPTY
    assert (slates.candidates[real] // ITEMS == 2).all()
    assert (slates.candidates[:, 0] % ITEMS == LOG.item[[5, 30]]).all()


def test_candidates_stand_as_newcomers_as_often_as_asked() -> None:
    guises = ArrayItems(np.concatenate([VECTORS] * 3), np.zeros((3 * ITEMS, 1), np.int32))
    known = Knowledge({}, count(SPEC, ITEMS, LOG.take(slice(0, 60))), LOG, guises, np.ones(ITEMS, bool))
    context, profile = np.zeros((len(LOG), 1), np.int64), np.zeros((USERS, 1), np.int32)
    builder = SlateBuilder(SPEC, Moments(SPEC, LOG, USERS), context, profile, Draw(4, 4, newcomers=0.4))
    rows = np.tile(np.asarray([5]), 2000)
    slates = builder.build(rows, np.ones((2000, 4), np.float32), known, np.random.default_rng(0))
    real = slates.role != EMPTY
    new = slates.candidates >= ITEMS
    assert new.sum() / real.sum() == pytest.approx(0.4, abs=0.03)


def test_lists_of_items_played_cold_are_of_them_alone_and_look_for_what_the_user_will_do_with_them() -> None:
    cold = np.arange(ITEMS) % 2 == 0
    asked = LOG.take(cold[LOG.item])
    moments = Moments(SPEC, LOG.take(~cold[LOG.item]), USERS, asked=asked)
    known = Knowledge({}, count(SPEC, ITEMS, LOG), LOG, CATALOGUE, np.ones(ITEMS, bool))
    context, profile = np.zeros((len(asked), 1), np.int64), np.zeros((USERS, 1), np.int32)
    builder = SlateBuilder(SPEC, moments, context, profile, Draw(4, 20, wanted=3))
    rows = np.arange(0, len(asked), 3)
    slates = builder.build(rows, np.ones((len(rows), 4), np.float32), known, np.random.default_rng(0), cold=cold)
    assert cold[slates.candidates[slates.role != EMPTY]].all()
    for place, row in enumerate(rows):
        ahead = asked.item[(asked.user == asked.user[row]) & (asked.time >= asked.time[row])]
        wanted = slates.candidates[place, slates.role[place] == POSITIVE]
        assert 1 <= len(wanted) <= 3
        assert len(set(wanted)) == len(wanted)
        assert np.isin(wanted, ahead).all()
        others = slates.candidates[place, np.isin(slates.role[place], (OFFERED, RANDOM))]
        assert not np.isin(others, ahead).any()
        labelled = slates.labels[place, : len(wanted)]
        assert not np.isnan(labelled).any()
    assert (slates.role == POSITIVE).sum(1).max() == 3
    assert (slates.role == RANDOM).any()


def test_rows_of_then_or_later_are_those_of_the_user() -> None:
    moments = Moments(SPEC, LOG, USERS)
    for row, ahead in zip([3, 50, len(LOG) - 1], moments.onwards(np.asarray([3, 50, len(LOG) - 1])), strict=True):
        assert ahead.tolist() == [at for at in range(row, len(LOG)) if LOG.user[at] == LOG.user[row]]
    at_once = replace(LOG, order=np.zeros_like(LOG.order))
    assert len(Moments(SPEC, LOG, USERS, asked=at_once).onwards(np.asarray([70]))[0]) == 2 * ITEMS


def test_without_newcomers_every_candidate_is_the_item_it_was() -> None:
    assert (build([20, 50, 70], draw=Draw(4, 3, newcomers=0.0)).candidates < ITEMS).all()
