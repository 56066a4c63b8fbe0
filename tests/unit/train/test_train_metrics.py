"""Metrics against known answers and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model.train import metrics
from model.train.metrics import MISSED

RNG = np.random.default_rng(0)


def test_ndcg_and_hit_rate_of_known_ranks() -> None:
    ranks = np.asarray([0, 2, 10, MISSED])
    assert metrics.ndcg(ranks, 10) == pytest.approx((1 + 0.5) / 4)
    assert metrics.hit_rate(ranks, 10) == 0.5
    assert metrics.hit_rate(ranks, 11) == 0.75
    assert metrics.ndcg(np.empty(0, np.int64)) == metrics.hit_rate(np.empty(0, np.int64)) == 0.0


def test_rank_breaks_ties_by_position_and_never_ranks_what_is_masked() -> None:
    scores = np.asarray([1.0, 3.0, 3.0, -np.inf])
    assert [metrics.rank_of(scores, place) for place in range(4)] == [2, 0, 1, MISSED]


def test_auc_equals_scikit_learn_with_ties() -> None:
    labels = RNG.integers(0, 2, 200).astype(np.float64)
    scores = RNG.integers(0, 20, 200).astype(np.float64)
    assert metrics.auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_auc_of_one_class_is_unknown() -> None:
    assert np.isnan(metrics.auc(np.ones(3), np.arange(3.0)))


def test_errors_of_nothing_are_unknown() -> None:
    nothing = np.empty(0)
    assert all(np.isnan(one(nothing, nothing)) for one in (metrics.rmse, metrics.log_loss, metrics.ece))


def test_rmse_and_log_loss() -> None:
    assert metrics.rmse(np.asarray([1.0, 3.0]), np.asarray([1.0, 1.0])) == pytest.approx(2**0.5)
    assert metrics.log_loss(np.asarray([1.0, 0.0]), np.asarray([0.5, 0.5])) == pytest.approx(np.log(2))
    assert np.isfinite(metrics.log_loss(np.asarray([1.0]), np.asarray([0.0])))


def test_calibration_error_is_zero_when_what_is_said_comes_true() -> None:
    said = np.repeat([0.25, 0.75], 400)
    came = np.tile([1.0, 0.0, 0.0, 0.0], 100)
    labels = np.concatenate([came, 1 - came])
    assert metrics.ece(labels, said, 2) == pytest.approx(0.0)
    assert metrics.ece(1 - labels, said, 2) == pytest.approx(0.5)


def test_reliability_bins_are_filled_alike_and_ascend() -> None:
    said = RNG.random(100)
    bins = metrics.reliability((RNG.random(100) < said).astype(float), said, 10)
    assert [count for _, _, count in bins] == [10] * 10
    assert [one for one, _, _ in bins] == sorted(one for one, _, _ in bins)


def test_gini_and_coverage() -> None:
    assert metrics.gini(np.ones(10)) == pytest.approx(0.0)
    assert metrics.gini(np.asarray([0, 0, 0, 5])) == pytest.approx(0.75)
    assert metrics.gini(np.zeros(4)) == 0.0
    assert metrics.coverage(np.asarray([[0, 1], [1, -1]]), 4) == 0.5
