"""Laws of learning: no part knows its future, order survives calibration, unlabelled tasks learn nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.log import TRAIN, VALID
from model.features.neighbours import Evidence
from model.train.calibrate import isotonic, platt
from model.train.metrics import MISSED, auc, gini, ndcg, rank_of
from model.train.plan import make_plan
from model.train.slates import best, merged
from tests.logs import make_log

EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.booleans()), min_size=2, max_size=60)
SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=30)


@given(EVENTS)
def test_a_plan_gives_every_row_one_role_and_keeps_the_past_before_what_is_taught(
    events: list[tuple[int, int, bool]],
) -> None:
    split = [VALID if late else TRAIN for _, _, late in events]
    log = make_log(user=[user for user, _, _ in events], item=[item for _, item, _ in events], split=split)
    plan = make_plan(log)
    assert (plan.base.astype(int) + plan.taught + plan.valid == 1).all()
    for fold in range(plan.folds):
        mine = plan.taught & (plan.fold == fold)
        known = plan.known(fold)
        assert not (known & mine).any()
        for user in np.unique(plan.log.user[mine]):
            own = plan.log.user == user
            newest = plan.log.time[own & known].max(initial=-np.inf)
            assert newest < plan.log.time[own & mine].min()


@given(SCORES)
def test_ranks_are_a_permutation(scores: list[float]) -> None:
    values = np.asarray(scores)
    assert sorted(rank_of(values, place) for place in range(len(values))) == list(range(len(values)))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.integers(1, 20))
def test_ndcg_grows_when_a_rank_falls(ranks: list[int], k: int) -> None:
    worse = np.asarray(ranks, np.int64)
    better = np.maximum(worse - 1, 0)
    assert 0.0 <= ndcg(worse, k) <= ndcg(better, k) <= 1.0
    assert ndcg(np.full(3, MISSED), k) == 0.0


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=40))
def test_auc_turns_around_with_the_scores_and_ignores_their_scale(rows: list[tuple[bool, int]]) -> None:
    labels = np.asarray([float(positive) for positive, _ in rows])
    scores = np.asarray([float(score) for _, score in rows])
    if 0 < labels.sum() < len(labels):
        np.testing.assert_allclose(auc(labels, scores) + auc(labels, -scores), 1.0)
        np.testing.assert_allclose(auc(labels, scores), auc(labels, np.exp(scores)))


@given(st.lists(st.integers(0, 50).map(float), min_size=1, max_size=30))
def test_gini_is_between_even_and_one(counts: list[float]) -> None:
    assert -1e-9 <= gini(np.asarray(counts)) < 1.0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(20, 200))
def test_calibration_never_changes_an_order(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows) * rng.uniform(0.2, 5)
    y = (rng.random(rows) < 0.4).astype(np.float64)
    said = np.linspace(x.min() - 1, x.max() + 1, 50, dtype=np.float32)
    for fit in (platt, isotonic):
        values = fit(x, y).apply(said)
        assert ((values >= 0) & (values <= 1)).all()
        assert (np.diff(values) >= 0).all()


@given(st.lists(st.lists(st.integers(0, 9), unique=True, max_size=6), min_size=1, max_size=4), st.integers(0, 12))
def test_merged_lists_are_unique_and_short_ones_are_prefixes(lists: list[list[int]], limit: int) -> None:
    offers = {
        str(name): Evidence(np.asarray(rows, np.int64), np.ones(len(rows), np.float32))
        for name, rows in enumerate(lists)
    }
    everything = merged(offers).tolist()
    assert sorted(everything) == sorted({row for rows in lists for row in rows})
    assert merged(offers, limit).tolist() == everything[:limit]


@given(SCORES, st.integers(0, 10))
def test_best_is_the_head_of_the_whole_order(scores: list[float], size: int) -> None:
    values, allowed = np.asarray(scores, np.float32), np.ones(len(scores), bool)
    whole, head = best(values, allowed, len(scores)), best(values, allowed, size)
    np.testing.assert_array_equal(head.scores, whole.scores[:size])
