"""Small logs from plain columns."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.data.log import TRAIN, Log

Column: TypeAlias = Sequence[float] | Sequence[int] | NDArray[Any]


def make_log(
    user: Column,
    item: Column,
    time: Column | None = None,
    split: Column | None = None,
    value: Column | None = None,
    labels: Column | None = None,
) -> Log:
    """A log in the order given; times default to the order, parts to train, values to none, labels to one task of 1."""
    rows = len(user)
    tasks = np.ones((rows, 1)) if labels is None else np.asarray(labels).reshape(rows, -1)
    return Log(
        user=np.asarray(user, np.int64),
        item=np.asarray(item, np.int64),
        type=np.ones(rows, np.int64),
        value=np.full(rows, np.nan, np.float32) if value is None else np.asarray(value, np.float32),
        time=np.arange(rows, dtype=np.float64) if time is None else np.asarray(time, np.float64),
        order=np.arange(rows),
        context=np.zeros((rows, 0), np.int64),
        labels=tasks.astype(np.float32),
        split=np.full(rows, TRAIN, np.int8) if split is None else np.asarray(split, np.int8),
    )
