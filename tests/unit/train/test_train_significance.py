"""Paired bootstrap against known answers: exact figures, intervals of the normal law, and worlds without difference."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model.train import metrics
from model.train.significance import Difference, Sample, drawn, interval, paired, weighted_auc, weighted_mean

RNG = np.random.default_rng(0)
COUNT = 400
GROUP = np.arange(COUNT)


def generator() -> np.random.Generator:
    return np.random.default_rng(1)


def test_with_every_group_once_figures_are_those_of_the_metrics() -> None:
    truth = RNG.integers(0, 2, COUNT).astype(float)
    said = RNG.integers(0, 30, COUNT).astype(float)
    once = np.ones((1, COUNT))
    assert Sample.of("auc", said, GROUP, truth).under(once)[0] == pytest.approx(metrics.auc(truth, said))
    assert Sample.of("rmse", said, GROUP, truth).under(once)[0] == pytest.approx(metrics.rmse(truth, said))
    assert Sample.of("mean", said, GROUP).under(once)[0] == pytest.approx(said.mean())


def test_weighted_area_equals_scikit_learn_with_ties() -> None:
    truth, scores = RNG.integers(0, 2, 60).astype(float), RNG.integers(0, 8, 60).astype(float)
    weights = RNG.integers(1, 5, (3, 60)).astype(float)
    expected = [roc_auc_score(truth, scores, sample_weight=one) for one in weights]
    np.testing.assert_allclose(weighted_auc(truth, scores, weights), expected)


def test_a_draw_without_a_class_has_no_figure() -> None:
    truth, scores = np.asarray([0.0, 1.0]), np.asarray([0.3, 0.4])
    assert np.isnan(weighted_auc(truth, scores, np.asarray([[2.0, 0.0]])))[0]
    assert np.isnan(weighted_mean(scores, np.zeros((1, 2))))[0]
    assert weighted_auc(np.empty(0), np.empty(0), np.empty((2, 0))).shape == (2,)


def test_the_interval_is_that_of_the_normal_law() -> None:
    """Means of 400 paired differences of deviation 1: 95 % of ±1.96 / 20 about what was seen."""
    noise = RNG.normal(size=COUNT)
    base = RNG.normal(scale=10, size=COUNT)
    found = paired([(Sample.of("mean", base + noise, GROUP), Sample.of("mean", base, GROUP))], generator(), 4000)
    half = 1.96 * noise.std() / COUNT**0.5
    assert found.value == pytest.approx(noise.mean())
    assert found.low == pytest.approx(noise.mean() - half, abs=0.01)
    assert found.high == pytest.approx(noise.mean() + half, abs=0.01)


def test_pairing_sees_what_unpaired_samples_hide() -> None:
    base = RNG.normal(scale=10, size=COUNT)
    found = paired([(Sample.of("mean", base + 0.1, GROUP), Sample.of("mean", base, GROUP))], generator())
    assert found.verdict() == "better"
    assert found.p < 0.01
    assert found.verdict(higher_is_better=False) == "worse"


def test_a_model_does_not_differ_from_itself() -> None:
    one = Sample.of("auc", RNG.normal(size=COUNT), GROUP, RNG.integers(0, 2, COUNT).astype(float))
    found = paired([(one, one)] * 3, generator())
    assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert found.verdict() == "no difference"


def test_false_alarms_come_as_often_as_the_level_says() -> None:
    """Where two models differ by noise alone, about one in twenty comparisons is called a difference."""
    alarms = 0
    for _ in range(200):
        noise = RNG.normal(size=60)
        found = paired([(Sample.of("mean", noise, np.arange(60)), Sample.of("mean", 0 * noise, np.arange(60)))], RNG)
        alarms += found.verdict() != "no difference"
    assert 2 <= alarms <= 22


def test_examples_of_one_group_are_one_witness() -> None:
    """Ten copies of each group's example do not make the interval narrower."""
    noise = RNG.normal(size=50)
    one = paired([(Sample.of("mean", noise, np.arange(50)), Sample.of("mean", 0 * noise, np.arange(50)))], generator())
    ten, group = np.repeat(noise, 10), np.repeat(np.arange(50), 10)
    many = paired([(Sample.of("mean", ten, group), Sample.of("mean", 0 * ten, group))], generator())
    assert (many.low, many.high) == pytest.approx((one.low, one.high))


def test_seeds_that_disagree_widen_the_interval() -> None:
    noise = RNG.normal(size=COUNT)
    none = Sample.of("mean", 0 * noise, GROUP)
    pairs = [(Sample.of("mean", noise + shift, GROUP), none) for shift in (-1.0, 0.0, 1.0)]
    agreed = [(Sample.of("mean", noise, GROUP), none)] * 3
    wide, narrow = (paired(one, generator()) for one in (pairs, agreed))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_every_draw_holds_as_many_groups_as_there_are() -> None:
    weights = drawn(7, 2000, generator())
    np.testing.assert_array_equal(weights.sum(1), 7)
    np.testing.assert_allclose(weights.mean(0), 1.0, atol=0.1)
    assert drawn(0, 3, generator()).shape == (3, 0)


def test_how_groups_are_numbered_does_not_matter() -> None:
    noise = RNG.normal(size=COUNT)
    near, far = (
        paired([(Sample.of("mean", noise, group), Sample.of("mean", 0 * noise, group))], generator())
        for group in (GROUP, 10**9 + 7 * GROUP)
    )
    assert near == far


def test_an_unknown_figure_has_no_verdict() -> None:
    found = interval(float("nan"), 0.5, np.full(10, np.nan))
    assert np.isnan(found.p)
    assert found.verdict() == "no difference"
    assert Difference(0.2, 0.1, 0.05, 0.15, 0.01).verdict() == "better"
