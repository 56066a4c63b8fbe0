"""What the ranker learns from and is validated on: lists, and rows on which a user's own judgement is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.data.log import TRAIN, VALID, Dataset, Log
from model.data.spec import context_table
from model.features.spec import FeatureSpec
from model.train.moments import PAD, Moments
from model.train.plan import Plan
from model.train.slates import Slates


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows that carry labels and are no events (impressions, pairs that were asked about), by what they may teach.

    `moments` are the rows, read against the log of events · context int64 [n, X] · base, taught, valid bool [n], as
    the plan has them for events.
    """

    moments: Moments
    context: NDArray[np.int64]
    base: NDArray[np.bool_]
    taught: NDArray[np.bool_]
    valid: NDArray[np.bool_]


def asked_rows(spec: FeatureSpec, dataset: Dataset, plan: Plan) -> Asked:
    """The impressions of the train and valid part; those of before the taught events are base."""
    log = dataset.impressions.part(TRAIN, VALID)
    moments = Moments(spec, plan.log, len(dataset.users), plan.temporal, log)
    valid = log.split == VALID
    early = is_early(plan, log, moments) & ~valid
    return Asked(moments, context_table(spec, dataset, log), early, ~valid & ~early, valid)


def is_early(plan: Plan, log: Log, moments: Moments) -> NDArray[np.bool_]:
    """Which rows of `log` lie before the events that are taught: in time, or before the last base event of the user."""
    known = np.bincount(plan.log.user[plan.base], minlength=int(log.user.max(initial=-1)) + 1)
    begins = float(plan.log.time[plan.taught].min(initial=np.inf))
    early: NDArray[np.bool_] = log.time < begins if plan.temporal else moments.place < known[log.user]
    return early


def labelled(log: Log, tasks: Sequence[int]) -> NDArray[np.bool_]:
    """Which rows carry a label of any of some tasks (columns), bool [n]."""
    some: NDArray[np.bool_] = np.logical_or.reduce(~np.isnan(log.labels[:, list(tasks)]), axis=1)
    return some


def silenced(slates: Slates, tasks: Sequence[int]) -> Slates:
    """Slates without the labels of some tasks (columns)."""
    labels = slates.labels.copy()
    labels[..., list(tasks)] = np.nan
    return replace(slates, labels=labels)


def shifted(slates: Slates, by: int) -> Slates:
    """Slates whose candidates are read `by` rows further on, where the items lie under another guise."""
    return replace(slates, candidates=np.where(slates.candidates == PAD, PAD, slates.candidates + by))
