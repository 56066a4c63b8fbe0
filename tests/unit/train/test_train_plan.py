"""Who may know what: by user and by time."""

import numpy as np

from model.data.log import TEST, TRAIN, VALID, Log
from model.train.plan import HELD_MOST, is_temporal, make_plan
from tests.logs import make_log


def by_user(per_user: int = 10, users: int = 5) -> Log:
    """Every user's last event tests, the one before validates; one user after the other."""
    user = np.tile(np.arange(users), per_user)
    step = np.repeat(np.arange(per_user), users)
    split = np.where(step == per_user - 1, TEST, np.where(step == per_user - 2, VALID, TRAIN))
    return make_log(user=user, item=np.arange(len(user)) % 7, time=step * 100.0 + user * 5000, split=split)


def by_time(rows: int = 100) -> Log:
    """The newest tenth tests, the tenth before validates."""
    split = np.repeat([TRAIN, VALID, TEST], [int(rows * 0.8), rows // 10, rows // 10])
    return make_log(user=np.arange(rows) % 4, item=np.arange(rows) % 9, time=np.arange(rows) * 60.0, split=split)


def test_parts_are_disjoint_and_the_test_part_is_nowhere() -> None:
    for log in (by_user(), by_time()):
        plan = make_plan(log)
        assert len(plan.log) == (log.split != TEST).sum()
        assert np.array_equal(plan.base.astype(int) + plan.taught + plan.valid, np.ones(len(plan.log)))


def test_a_split_by_time_is_told_from_one_by_user() -> None:
    assert is_temporal(by_time())
    assert not is_temporal(by_user())
    untimed = make_log(user=[0, 0], item=[0, 1], time=[np.nan, np.nan], split=[TRAIN, VALID])
    assert not is_temporal(untimed)
    assert not is_temporal(make_log(user=[0], item=[0], time=[1.0], split=[TRAIN]))


def test_by_user_the_newest_events_are_taught_and_the_first_never() -> None:
    plan = make_plan(by_user())
    for user in range(5):
        rows = np.flatnonzero((plan.log.user == user) & ~plan.valid)
        assert plan.taught[rows].tolist() == [False] * (len(rows) - 2) + [True] * 2
    lonely = make_plan(make_log(user=[0, 1, 1], item=[0, 1, 2], time=[1.0, 2.0, 3.0], split=[TRAIN] * 3))
    assert lonely.taught.tolist() == [False, False, True]


def test_long_histories_are_held_out_up_to_a_limit() -> None:
    rows = 400
    plan = make_plan(make_log(user=np.zeros(rows), item=np.arange(rows), time=np.arange(rows), split=[TRAIN] * rows))
    assert plan.taught.sum() == HELD_MOST


def test_by_time_every_taught_event_is_newer_than_the_base_and_tables_know_the_base_alone() -> None:
    plan = make_plan(by_time())
    assert plan.folds == 1
    assert plan.log.time[plan.base].max() < plan.log.time[plan.taught].min()
    assert np.array_equal(plan.known(0), plan.base)


def test_by_user_a_folds_tables_know_no_taught_event_of_its_users() -> None:
    plan = make_plan(by_user())
    assert plan.folds == 3
    for fold in range(plan.folds):
        known = plan.known(fold)
        assert not (known & plan.taught & (plan.fold == fold)).any()
        assert (known & plan.taught).sum() == (plan.taught & (plan.fold != fold)).sum()
        assert not (known & plan.valid).any()
