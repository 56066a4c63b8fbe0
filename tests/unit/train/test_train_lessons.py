"""Rows that carry labels and are no events: read at their own moment, and what each of them may teach."""

from dataclasses import replace

import numpy as np
import pytest

from model.config import Task
from model.data.log import TEST, TRAIN, VALID, Log
from model.features.ranking import ArrayItems, Moment, candidate_feature_names, ranker_inputs
from model.features.spec import ChannelSpec, FeatureSpec, TaskSpec
from model.train.channels import cooccurrence
from model.train.counting import count
from model.train.lessons import Asked, is_early, labelled, shifted, silenced
from model.train.moments import PAD, Moments, places_before
from model.train.plan import make_plan
from model.train.rank import Objective, list_ranks
from model.train.slates import JUDGED, Draw, Knowledge, SlateBuilder, Slates, firsts, moment_groups
from tests.logs import make_log

ITEMS, USERS = 8, 3
SPEC = FeatureSpec(
    event_types=("view",),
    tasks=(TaskSpec(name="interest", kind="binary"), TaskSpec(name="like", kind="binary")),
    dim=4,
    max_attributes=1,
    max_profile=1,
    rank_history=5,
    channels=(ChannelSpec(name="tower", kind="tower", size=3), ChannelSpec(name="cooccurrence", kind="neighbours")),
)
TASKS = (
    Task(name="interest", kind="binary", label="event == 'view'", negatives=1),
    Task(name="like", kind="binary", label="like == 1"),
)
RNG = np.random.default_rng(4)
LOG = make_log(
    user=np.arange(60) % USERS, item=RNG.integers(0, ITEMS, 60), time=np.arange(60) * 10.0, labels=np.ones((60, 2))
)
ITEM_TABLE = ArrayItems(RNG.normal(size=(ITEMS, 4)).astype(np.float32), np.zeros((ITEMS, 1), np.int32))


def asked_log(user: list[int], item: list[int], time: list[float], labels: list[tuple[float, float]]) -> Log:
    """Rows that are no events, placed among the events of LOG by their times."""
    made = make_log(user=user, item=item, time=time, labels=np.asarray(labels))
    return replace(made, type=np.zeros(len(user), np.int64), order=np.searchsorted(LOG.time, made.time))


ASKED = asked_log([0, 0, 1, 0], [1, 2, 3, 4], [100.0, 100.0, 100.0, 305.0], [(0, 1), (1, np.nan), (np.nan, 0), (1, 1)])
MOMENTS = Moments(SPEC, LOG, USERS, asked=ASKED)
CONTEXT = np.zeros((4, 1), np.int64)


def judged() -> tuple[Slates, list[np.ndarray]]:
    """All rows of ASKED as slates."""
    groups = moment_groups(MOMENTS, CONTEXT, np.arange(4), 10)
    known = Knowledge(
        {"cooccurrence": cooccurrence(LOG.by_user(USERS), ITEMS)}, None, LOG, ITEM_TABLE, np.ones(ITEMS, bool)
    )
    builder = SlateBuilder(SPEC, MOMENTS, CONTEXT, np.zeros((USERS, 1), np.int32), Draw(0, 0))
    return builder.judge(groups, np.ones((len(groups), 4), np.float32), known, "test"), groups


def test_an_asked_row_knows_what_its_user_did_strictly_before_it() -> None:
    for row in range(len(ASKED)):
        mine = (LOG.user == ASKED.user[row]) & (LOG.time < ASKED.time[row])
        assert MOMENTS.history(row).rows.tolist() == LOG.item[mine].tolist()
    assert MOMENTS.place.tolist() == [4, 4, 3, 11]


def test_without_times_the_order_of_all_rows_decides() -> None:
    untimed = [replace(log, time=np.full(len(log), np.nan)) for log in (LOG, ASKED)]
    places = places_before(untimed[0].by_user(USERS), untimed[1], True)
    assert places.tolist() == [
        int(((LOG.user == u) & (LOG.order < o)).sum()) for u, o in zip(ASKED.user, ASKED.order, strict=True)
    ]


def test_what_happens_at_the_same_instant_is_not_history_where_times_are_known() -> None:
    same = make_log(user=[0, 0, 0], item=[1, 2, 3], time=[5.0, 5.0, 6.0])
    assert Moments(SPEC, same, 1).place.tolist() == [0, 0, 2]
    assert Moments(SPEC, same, 1, timed=False).place.tolist() == [0, 1, 2]


def test_rows_of_one_moment_stand_together_with_their_own_labels() -> None:
    slates, groups = judged()
    assert [group.tolist() for group in groups] == [[0, 1], [2], [3]]
    assert slates.candidates.tolist() == [[1, 2], [3, PAD], [4, PAD]]
    assert (slates.role[slates.candidates != PAD] == JUDGED).all()
    np.testing.assert_array_equal(slates.labels[0], ASKED.labels[:2])
    assert np.isnan(slates.labels[1, 1]).all()
    assert firsts(groups).tolist() == [0, 2, 3]
    assert [len(group) for group in moment_groups(MOMENTS, CONTEXT, np.arange(4), 1)] == [1, 1, 1, 1]


def test_a_judged_row_reads_what_the_batch_command_reads() -> None:
    slates, _ = judged()
    counters = count(SPEC, ITEMS, LOG.take(LOG.time < 305.0))
    history = MOMENTS.history(3)
    moment = Moment(history, np.zeros(1, np.int32), np.zeros(1, np.int64), 305.0)
    builder = SlateBuilder(SPEC, MOMENTS, CONTEXT, np.zeros((USERS, 1), np.int32), Draw(0, 0))
    known = Knowledge(
        {"cooccurrence": cooccurrence(LOG.by_user(USERS), ITEMS)}, None, LOG, ITEM_TABLE, np.ones(ITEMS, bool)
    )
    allowed = np.ones(ITEMS, bool)
    allowed[history.rows] = False
    vector = np.ones(4, np.float32)
    evidence = builder.evidence(history, vector, known, allowed)
    made = ranker_inputs(SPEC, moment, vector, np.asarray([4]), evidence, ITEM_TABLE, counters, known.tables)
    np.testing.assert_allclose(slates.features[2, :1], made["candidate_features"][0], rtol=1e-5)
    np.testing.assert_allclose(slates.user_features[2], made["user_features"][0], rtol=1e-5)


def test_a_channel_without_a_table_offers_nothing() -> None:
    groups = moment_groups(MOMENTS, CONTEXT, np.arange(4), 10)
    builder = SlateBuilder(SPEC, MOMENTS, CONTEXT, np.zeros((USERS, 1), np.int32), Draw(0, 0))
    known = Knowledge({}, None, LOG, ITEM_TABLE, np.ones(ITEMS, bool))
    slates = builder.judge(groups, np.ones((len(groups), 4), np.float32), known, "test")
    column = candidate_feature_names(SPEC).index("cooccurrence:score")
    assert (slates.features[..., column] == 0).all()


def test_judged_rows_are_no_lists() -> None:
    slates, _ = judged()
    assert len(list_ranks(slates, np.zeros(slates.candidates.shape, np.float32))) == 0


def test_silenced_tasks_lose_their_labels_and_others_keep_them() -> None:
    slates, _ = judged()
    quiet = silenced(slates, Objective(SPEC, TASKS).lists)
    assert np.isnan(quiet.labels[..., 0]).all()
    np.testing.assert_array_equal(quiet.labels[..., 1], slates.labels[..., 1])
    assert not np.isnan(slates.labels[..., 0]).all()


def test_shifted_candidates_keep_their_padding() -> None:
    slates, _ = judged()
    assert shifted(slates, 100).candidates.tolist() == [[101, 102], [103, PAD], [104, PAD]]


def test_labelled_rows_have_a_label_of_the_tasks_asked_for() -> None:
    assert labelled(ASKED, [0]).tolist() == [True, True, False, True]
    assert labelled(ASKED, [1]).tolist() == [True, False, True, True]


@pytest.mark.parametrize("temporal", [True, False])
def test_early_rows_lie_before_everything_that_is_taught(temporal: bool) -> None:
    split = np.where(LOG.time < 400, TRAIN, np.where(LOG.time < 500, VALID, TEST)).astype(np.int8)
    if not temporal:
        split = np.where(np.arange(60) >= 57, TEST, np.where(np.arange(60) >= 54, VALID, TRAIN)).astype(np.int8)
        split = np.where(np.arange(60) == 0, VALID, split).astype(np.int8)
    plan = make_plan(replace(LOG, split=split))
    assert plan.temporal == temporal
    rows = Asked(MOMENTS, CONTEXT, *(np.zeros(4, bool) for _ in range(3)))
    early = is_early(plan, ASKED, rows.moments)
    begins = {user: plan.log.time[plan.taught & (plan.log.user == user)].min() for user in range(USERS)}
    first = min(begins.values())
    for row in np.flatnonzero(early):
        assert ASKED.time[row] <= (first if temporal else begins[int(ASKED.user[row])])
    assert early[0]
