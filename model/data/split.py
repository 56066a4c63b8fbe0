"""Cutting the log into train, valid and test: pure functions of times, users and what a column says."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.config import Split
from model.data.log import TEST, TRAIN, VALID
from model.data.roles import NO_PART
from model.errors import DataError


def split_rows(
    split: Split,
    user: NDArray[np.int64],
    time: NDArray[np.float64],
    event: NDArray[np.bool_],
    part: NDArray[np.int8],
) -> NDArray[np.int8]:
    """The part of each row, int8 [n]; rows are in the log's order.

    `event` marks rows that are events (all others go with them), `part` is what the split column says (NO_PART:
    nothing). Raises DataError when a row without a part has no time to go by.
    """
    if split.kind == "time":
        return by_bounds(time, *time_bounds(time[event], split.train, split.valid))
    if split.kind == "leave_last":
        return leave_last(user, event)
    return by_column(split, user, time, part)


def time_bounds(time: NDArray[np.float64], train: float, valid: float) -> tuple[float, float]:
    """Times at which valid and test begin so that the parts hold about these fractions of the (sorted) rows."""
    ordered = np.sort(time)
    starts = [min(int(len(ordered) * share), len(ordered) - 1) for share in (train, train + valid)]
    return float(ordered[starts[0]]), float(ordered[starts[1]])


def by_bounds(time: NDArray[np.float64], valid: float, test: float) -> NDArray[np.int8]:
    """Rows before `valid` train, before `test` valid, the rest test: equal times are never cut apart."""
    return np.where(time < valid, TRAIN, np.where(time < test, VALID, TEST)).astype(np.int8)


def leave_last(user: NDArray[np.int64], event: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Each user's last event tests, the one before validates; users with fewer than three events train only.

    A row that is no event goes with the user's next event, or tests when none follows.
    """
    backwards = pd.Series(event[::-1].astype(np.int64)).groupby(user[::-1]).cumsum()
    left = backwards.to_numpy()[::-1]  # events of the same user from each row on
    total = np.bincount(user, weights=event, minlength=int(user.max(initial=-1)) + 1)[user]
    parts = np.where(left <= 1, TEST, np.where(left == 2, VALID, TRAIN))
    return np.where(total < 3, TRAIN, parts).astype(np.int8)


def by_column(
    split: Split, user: NDArray[np.int64], time: NDArray[np.float64], part: NDArray[np.int8]
) -> NDArray[np.int8]:
    """What the column says; rows of tables without it are cut where valid and test begin in the others.

    Where the column leaves valid empty, the last of the training rows validate.
    """
    left = part == NO_PART
    if left.any():
        if np.isnan(time).any():
            move = "they have neither a part nor a time; add the column to every table"
            raise DataError("rows without a split column", int(left.sum()), move)
        starts = [time[part == which].min(initial=np.inf) for which in (VALID, TEST)]
        part = np.where(left, by_bounds(time, min(starts), starts[1]), part).astype(np.int8)
    train = part == TRAIN
    if (part == VALID).any() or not train.any():
        return part
    made = part.copy()
    made[train] = _last_of(user[train], time[train], split.valid)
    return made


def _last_of(user: NDArray[np.int64], time: NDArray[np.float64], share: float) -> NDArray[np.int8]:
    """Training rows of which the last `share` by time validates, or (untimed) each user's last of several."""
    if not np.isnan(time).any():
        return by_bounds(time, time_bounds(time, 1 - share, 0.0)[0], np.inf)
    parts = leave_last(user, np.ones(len(user), bool))
    return np.where(parts == TEST, VALID, TRAIN).astype(np.int8)
