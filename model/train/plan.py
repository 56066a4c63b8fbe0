"""Which events teach which part, so that no part has seen the event it is to predict.

Channel tables, counters and towers know the *base*; the ranker learns from the training events outside it (`taught`),
where the others meet events they have not seen, as they do in service; the valid part stops and tunes everything.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.data.log import TRAIN, VALID, ByUser, Log

HELD_SHARE, HELD_MOST = 0.15, 20  # of each user's newest events, where the split is by user
TIME_SHARE = 0.25  # newest training events, where the split is by time
FOLDS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """The log (train and valid part, in time order) and, by its rows, what each part may know.

    base bool [n] · taught bool [n] · valid bool [n] · fold int64 [n]: channel tables for the slates of fold f know the
    base of f's users and the whole training part of all others. `temporal`: the valid part lies after the training
    part, so tables know the past only and there is one fold.
    """

    log: Log
    base: NDArray[np.bool_]
    taught: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    fold: NDArray[np.int64]
    temporal: bool

    @property
    def folds(self) -> int:
        """Number of folds."""
        return int(self.fold.max(initial=0)) + 1

    def known(self, fold: int) -> NDArray[np.bool_]:
        """Rows that the channel tables of a fold know, bool [n]."""
        return self.base if self.temporal else self.base | (self.taught & (self.fold != fold))

    def grouped(self, known: NDArray[np.bool_], users: int) -> ByUser:
        """The rows `known` (bool [n]) by user, of so many users."""
        return self.log.take(known).by_user(users)

    @property
    def parts(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """base, taught and valid."""
        return self.base, self.taught, self.valid

    @property
    def train(self) -> NDArray[np.bool_]:
        """Rows of the training part, bool [n]."""
        return self.base | self.taught


def make_plan(log: Log, folds: int = FOLDS) -> Plan:
    """The plan for a log; rows of the test part are left out."""
    log = log.part(TRAIN, VALID)
    valid = log.split == VALID
    temporal = is_temporal(log)
    taught = ~valid & (newest_rows(log, ~valid) if temporal else newest_of_users(log, ~valid))
    fold = np.zeros_like(log.user) if temporal else log.user % folds
    return Plan(log, ~valid & ~taught, taught, valid, fold, temporal)


def is_temporal(log: Log) -> bool:
    """Whether the valid part begins where the training part ends (up to one row in a hundred)."""
    train, valid = log.time[log.split == TRAIN], log.time[log.split == VALID]
    if not len(train) or not len(valid) or np.isnan(log.time).any():
        return False
    return float(np.quantile(train, 0.99)) <= float(np.quantile(valid, 0.01))


def newest_rows(log: Log, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The newest TIME_SHARE of the rows `among` (bool [n]); a log is in time order."""
    rows = np.flatnonzero(among)
    found = np.zeros(len(log), bool)
    found[rows[int(len(rows) * (1 - TIME_SHARE)) :]] = True
    return found


def newest_of_users(log: Log, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each user's newest events `among` (bool [n]): HELD_SHARE of them, at least one, never the first."""
    rows = np.flatnonzero(among)
    rows = rows[np.argsort(log.user[rows], kind="stable")]
    counts = np.bincount(log.user[rows])
    ends = np.cumsum(counts)
    from_end = ends[log.user[rows]] - 1 - np.arange(len(rows))
    held = np.clip(np.ceil(counts * HELD_SHARE), 1, HELD_MOST)
    held = np.minimum(held, np.maximum(counts - 1, 0))
    found = np.zeros(len(log), bool)
    found[rows[from_end < held[log.user[rows]]]] = True
    return found
