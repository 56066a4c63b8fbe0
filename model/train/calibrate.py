"""Calibration of every task on the validation part: Platt or isotonic, whichever tells unseen rows better."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from model.features.calibration import Calibration, Identity, Isotonic, Platt
from model.train.metrics import log_loss

FOLDS = 5
Fit: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], Platt | Isotonic]
FEWEST = 50  # labels of each class, below which only Platt's two numbers are fitted
RIDGE = 1e-3
FLATTEST = 1e-3  # least slope of a calibration
TILT = 0.02  # part of Platt's slope kept in an isotonic fit, so that equal steps never tie what the ranker ordered
REACH = 20.0  # logits beyond the outermost knot over which that slope goes on


def calibrated(logits: NDArray[np.float32], labels: NDArray[np.float32]) -> Calibration:
    """The better calibration of a binary task's raw logits [n] against labels in {0, 1} [n] (NaN: left out)."""
    known = ~np.isnan(labels)
    x, y = logits[known].astype(np.float64), labels[known].astype(np.float64)
    fewest = min(y.sum(), len(y) - y.sum())
    if not len(y):
        return Identity()
    if fewest < FEWEST or _unseen_loss(platt, x, y) <= _unseen_loss(isotonic, x, y):
        return platt(x, y)
    return isotonic(x, y)


def _unseen_loss(fit: Fit, x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Mean log loss over folds of a fit on the rest."""
    fold = np.arange(len(x)) % FOLDS
    losses = [
        log_loss(y[fold == one], fit(x[fold != one], y[fold != one]).apply(x[fold == one].astype(np.float32)))
        for one in range(FOLDS)
    ]
    return float(np.mean(losses))


def platt(x: NDArray[np.float64], y: NDArray[np.float64]) -> Platt:
    """Slope and offset by Newton's method with Platt's soft targets; the slope stays positive, so order stays.

    Where it would not (few labels, told the wrong way round) the offset is fitted to the least slope.
    """
    ups, downs = y.sum(), len(y) - y.sum()
    target = np.where(y > 0.5, (ups + 1) / (ups + 2), 1 / (downs + 2))
    a, b = 1.0, 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(a * x + b, -50, 50)))
        gradient = np.asarray([((p - target) * x).sum() + RIDGE * (a - 1), (p - target).sum() + RIDGE * b])
        weight = p * (1 - p)
        hessian = np.asarray([[(weight * x * x).sum(), (weight * x).sum()], [(weight * x).sum(), weight.sum()]])
        step = np.linalg.solve(hessian + RIDGE * np.eye(2), gradient)
        a, b = a - step[0], b - step[1]
        if np.abs(step).max() < 1e-8:
            break
    if a >= FLATTEST:
        return Platt(a=float(a), b=float(b))
    share = float(target.mean())
    return Platt(a=FLATTEST, b=float(np.log(share / (1 - share)) - FLATTEST * x.mean()))


def isotonic(x: NDArray[np.float64], y: NDArray[np.float64]) -> Isotonic:
    """Isotonic regression's steps, tilted by TILT of Platt's curve so that the order is kept strictly."""
    line = platt(x, y)
    made = IsotonicRegression(y_min=1e-4, y_max=1 - 1e-4, out_of_bounds="clip").fit(x, y)
    knots = np.concatenate([[x.min() - REACH], made.X_thresholds_, [x.max() + REACH]])
    steps = np.concatenate([made.y_thresholds_[:1], made.y_thresholds_, made.y_thresholds_[-1:]])
    tilted = (1 - TILT) * steps + TILT * line.apply(knots.astype(np.float32))
    return Isotonic(x=tuple(map(float, knots)), y=tuple(map(float, tilted)))
