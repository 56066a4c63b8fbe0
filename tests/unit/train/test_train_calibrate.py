"""Calibration: truer on unseen rows, and never a change of order."""

import numpy as np
import pytest

from model.features.calibration import Identity, Isotonic, Platt
from model.train.calibrate import calibrated, isotonic, platt
from model.train.metrics import ece

RNG = np.random.default_rng(5)


def world(bend: float, rows: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels whose truth is σ(2x - 1), with the logits bent by x + bend·x³."""
    x = RNG.normal(size=rows)
    labels = (RNG.random(rows) < 1 / (1 + np.exp(-(2 * x - 1)))).astype(np.float32)
    return (x + bend * x**3).astype(np.float32), labels


def test_platt_finds_slope_and_offset() -> None:
    x, y = world(0.0)
    found = platt(x.astype(np.float64), y.astype(np.float64))
    assert found.a == pytest.approx(2.0, abs=0.15)
    assert found.b == pytest.approx(-1.0, abs=0.1)


def test_logits_told_the_wrong_way_round_still_say_how_often() -> None:
    x, y = np.linspace(-6, 2, 2000), np.zeros(2000)
    y[np.linspace(0, 800, 11).astype(int)] = 1  # the few that happened have low logits
    found = platt(x, y)
    said = found.apply(x.astype(np.float32))
    assert found.a > 0
    assert said.mean() == pytest.approx(12 / 2000, rel=0.1)  # Platt's soft targets count one more
    assert (np.diff(said) >= 0).all()


def test_bent_logits_get_isotonic_and_straight_ones_platt() -> None:
    assert isinstance(calibrated(*world(3.0)), Isotonic)
    assert isinstance(calibrated(*world(0.0)), Platt)


@pytest.mark.parametrize("bend", [0.0, 3.0])
def test_what_is_said_comes_true_on_unseen_rows(bend: float) -> None:
    found = calibrated(*world(bend))
    assert not isinstance(found, Identity)
    x, y = world(bend)
    assert ece(y, found.apply(x)) < 0.03


@pytest.mark.parametrize("fit", [platt, isotonic])
def test_order_is_kept_strictly_inside_and_outside_what_was_seen(fit: type) -> None:
    x, y = world(0.5, 500)
    found = fit(x.astype(np.float64), y.astype(np.float64))
    said = found.apply(np.linspace(-8, 8, 300, dtype=np.float32)).astype(np.float64)
    assert (np.diff(said) > 0).all()


def test_few_labels_get_platt_one_class_stays_finite_and_none_is_left_alone() -> None:
    x, y = world(0.0, 40)
    assert isinstance(calibrated(x, y), Platt)
    sure = calibrated(x, np.ones_like(y))
    assert np.isfinite(sure.apply(x)).all()
    assert isinstance(calibrated(x, np.full_like(y, np.nan)), Identity)


def test_unlabelled_rows_do_not_count() -> None:
    x, y = world(0.0, 1000)
    more = np.concatenate([x, np.full(500, 9.0, np.float32)])
    assert calibrated(more, np.concatenate([y, np.full(500, np.nan, np.float32)])) == calibrated(x, y)
