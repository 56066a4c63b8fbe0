"""Many tasks become one score: the weighted mean of their calibrated probabilities."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from model.errors import RequestError
from model.features import kernels
from model.features.spec import TaskSpec


def blend_weights(tasks: Sequence[TaskSpec], asked: Mapping[str, float] | None) -> NDArray[np.float64]:
    """One weight a task, float64 [T], with sum 1; `asked` replaces the bundle's own (tasks it leaves out weigh 0).

    Raises RequestError for an unknown task, a weight that is negative or not finite, and when all are 0.
    """
    names = [task.name for task in tasks]
    for name, weight in (asked or {}).items():
        if name not in names:
            raise RequestError("task_weights", name, f"known tasks are {', '.join(names)}")
        if not isfinite(weight) or weight < 0:
            raise RequestError(f"task_weights.{name}", weight, "give a finite number of at least 0")
    weights = np.asarray([task.blend for task in tasks] if asked is None else [asked.get(name, 0.0) for name in names])
    if not weights.any():
        if asked is not None:
            raise RequestError("task_weights", dict(asked), f"give a weight above 0 to one of {', '.join(names)}")
        weights = np.ones(len(tasks))  # a bundle whose recipe blends nothing: all tasks alike
    weights = weights / weights.max()  # so that huge weights do not overflow in the sum
    return np.asarray(weights / weights.sum(), np.float64)


@lru_cache(maxsize=64)
def _ranges(ranges: tuple[tuple[float, float], ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each task's values begin and how far they go, [T]."""
    low, high = np.ascontiguousarray(np.asarray(ranges).T)
    return low, np.maximum(high - low, 1e-9)


def blended(
    tasks: Sequence[TaskSpec], values: NDArray[np.float32], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores float64 [C] of calibrated outputs [C, T]: values of regression and ordinal tasks count by their range.

    Each row is summed alone, so equal rows score equally.
    """
    low, width = _ranges(tuple((task.low, task.high) if _is_value(task) else (0.0, 1.0) for task in tasks))
    scores = np.empty(len(values), np.float64)
    kernels.blend(np.ascontiguousarray(values, np.float32), low, width, weights, scores)
    return scores


def _is_value(task: TaskSpec) -> bool:
    return task.kind in ("regression", "ordinal")
