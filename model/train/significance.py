"""Is one model better than another on the same examples? A paired bootstrap (Efron & Tibshirani 1993) of any figure.

What is resampled are groups (moments, or users), with all examples of a group at once and the same groups for both
models: examples of one moment are no independent witnesses, and what makes a moment hard is hard for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.train.metrics import Floats

DRAWS = 500
CHUNK = 2_000_000  # numbers held at once: draws × examples
LEVEL = 0.05
Figure: TypeAlias = Literal["mean", "auc", "rmse"]
Doubles: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a figure of one model is made of; n examples, `group` int64 [n] ≥ 0.

    mean: of `said` · auc: of scores `said` against `truth` in {0, 1} · rmse: of values `said` against `truth`.
    """

    figure: Figure
    said: Doubles
    truth: Doubles
    group: NDArray[np.int64]

    @classmethod
    def of(cls, figure: Figure, said: Floats, group: NDArray[np.int64], truth: Floats | None = None) -> "Sample":
        """A sample of arrays of any float kind; a mean has no truth."""
        values = np.asarray(said, np.float64)
        return cls(figure, values, np.zeros_like(values) if truth is None else np.asarray(truth, np.float64), group)

    def under(self, weights: Doubles) -> Doubles:
        """The figure in each of d draws, [d]; weights [d, G] say how often a draw holds each group."""
        mine = weights[:, self.group]
        if self.figure == "auc":
            return weighted_auc(self.truth, self.said, mine)
        if self.figure == "rmse":
            return np.sqrt(weighted_mean((self.said - self.truth) ** 2, mine))
        return weighted_mean(self.said, mine)


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two models and how sure their difference is: first − second in [low, high] at 95 %, p two-sided."""

    first: float
    second: float
    low: float
    high: float
    p: float

    @property
    def value(self) -> float:
        """First minus second."""
        return self.first - self.second

    def verdict(self, higher_is_better: bool = True) -> str:
        """What the interval says of the first model: better, worse, or no difference."""
        if not (self.low > 0 or self.high < 0):
            return "no difference"
        return "better" if (self.low > 0) == higher_is_better else "worse"


def paired(pairs: Sequence[tuple[Sample, Sample]], generator: np.random.Generator, draws: int = DRAWS) -> Difference:
    """Compare two models on the same examples, over one pair of samples for each seed they were trained with.

    Groups and seeds are drawn with replacement; figures are means over seeds. NaN where a figure is unknown.
    """
    pairs, groups = renumbered(pairs)
    whole = np.ones((1, groups))
    first, second = (float(np.mean([pair[side].under(whole)[0] for pair in pairs])) for side in (0, 1))
    widest = max([groups, *(len(one.said) for pair in pairs for one in pair)])
    step, apart = max(CHUNK // max(widest, 1), 1), np.empty((draws, len(pairs)))
    for at in range(0, draws, step):
        part = apart[at : at + step]
        weights = drawn(groups, len(part), generator)
        part[:] = np.stack([one.under(weights) - other.under(weights) for one, other in pairs], axis=1)
    seeds = generator.integers(0, len(pairs), apart.shape)
    return interval(first, second, np.take_along_axis(apart, seeds, 1).mean(1))


def renumbered(pairs: Sequence[tuple[Sample, Sample]]) -> tuple[list[tuple[Sample, Sample]], int]:
    """The same pairs with their groups counted from 0 without gaps, and how many groups there are."""
    names = np.unique(np.concatenate([one.group for pair in pairs for one in pair]))
    made = [
        (replace(one, group=np.searchsorted(names, one.group)), replace(two, group=np.searchsorted(names, two.group)))
        for one, two in pairs
    ]
    return made, len(names)


def drawn(groups: int, draws: int, generator: np.random.Generator) -> Doubles:
    """How often each of G groups is in each draw of G groups with replacement, [draws, G]."""
    places = generator.integers(0, max(groups, 1), (draws, groups)) + groups * np.arange(draws)[:, None]
    return np.bincount(places.ravel(), minlength=draws * groups).reshape(draws, groups).astype(np.float64)


def interval(first: float, second: float, differences: Doubles) -> Difference:
    """The difference with its percentile interval; draws in which the figure is unknown are left out."""
    known = differences[~np.isnan(differences)]
    if not len(known):
        return Difference(first, second, float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(known, [LEVEL / 2, 1 - LEVEL / 2])
    below, above = (1 + (known <= 0).sum()) / (1 + len(known)), (1 + (known >= 0).sum()) / (1 + len(known))
    return Difference(first, second, float(low), float(high), float(min(1.0, 2 * min(below, above))))


def weighted_mean(values: Doubles, weights: Doubles) -> Doubles:
    """Means of values [n] under weights [d, n]; NaN where a draw holds nothing."""
    total = weights.sum(1)
    return np.where(total > 0, weights @ values / np.maximum(total, 1e-12), np.nan)


def weighted_auc(truth: Doubles, scores: Doubles, weights: Doubles) -> Doubles:
    """Areas under the ROC curve of scores [n] under weights [d, n], ties as halves; NaN where a class is missing."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)  # of each run of equal scores
    up = truth[order] > 0.5
    ups, downs = (_by_run(weights[:, order] * side, starts) for side in (up, ~up))
    below = np.cumsum(downs, axis=1) - downs / 2
    pairs = ups.sum(1) * downs.sum(1)
    return np.where(pairs > 0, (ups * below).sum(1) / np.maximum(pairs, 1e-12), np.nan)


def _by_run(weights: Doubles, starts: NDArray[np.int64]) -> Doubles:
    """Sums of weights [d, n] over the runs that begin at `starts`."""
    return np.add.reduceat(weights, starts, axis=1) if len(starts) else np.zeros((len(weights), 0))
