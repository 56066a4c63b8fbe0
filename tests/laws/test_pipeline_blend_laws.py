"""Request-time task weights do what they say, for whatever the ranker gives: ties, kinds of tasks, values out of range.

Why the first law holds: a list is the n candidates with the largest Σ w·p. Let P be a list's sum of the raised task, A
the rest of its score. The old list is best under w and the new one under w + d, so A' + w·P' ≤ A + w·P and
A' + (w + d)·P' ≥ A + (w + d)·P; their difference is d·P' ≥ d·P. Ties change nothing in it.
"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.pipeline.blend import blend_weights, blended
from model.features.spec import TaskSpec

TASKS = (
    TaskSpec(name="click", kind="binary"),
    TaskSpec(name="next", kind="next_item"),
    TaskSpec(name="stars", kind="ordinal", low=1, high=5),
    TaskSpec(name="rating", kind="regression", low=-10, high=10),
)
NAMES = tuple(task.name for task in TASKS)
# few distinct numbers, so that ties are common, and some beyond the tasks' ranges
number = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0, 5.0, -12.0, 12.0]), st.floats(-20, 20, width=32))
candidates = st.lists(st.tuples(number, number, number, number), min_size=1, max_size=25).map(
    lambda rows: np.asarray(rows, np.float32)
)
weights = st.lists(st.one_of(st.just(0.0), st.floats(0.01, 10)), min_size=4, max_size=4).filter(any)
tasks = st.integers(0, len(TASKS) - 1)
sizes = st.integers(1, 25)


def chances(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each task's values as [0, 1]: what a list is scored by when that task alone counts; [C, T]."""
    return np.stack([blended(TASKS, values, one) for one in np.eye(len(TASKS))], axis=1)


def shares_of(values: NDArray[np.float32], asked: list[float], n: int) -> NDArray[np.float64]:
    """Mean of each task over the list that is answered: score descending, then row; [T], values as [0, 1]."""
    scores = blended(TASKS, values, blend_weights(TASKS, dict(zip(NAMES, asked, strict=True))))
    first = np.lexsort((np.arange(len(scores)), -scores))[:n]
    means: NDArray[np.float64] = chances(values)[first].mean(axis=0)
    return means


@given(candidates, weights, tasks, st.floats(0.05, 100), sizes)
def test_a_raised_weight_never_lowers_the_lists_mean_of_its_task(
    values: NDArray[np.float32], asked: list[float], task: int, more: float, n: int
) -> None:
    raised = [weight + more * (place == task) for place, weight in enumerate(asked)]
    assert shares_of(values, raised, n)[task] >= shares_of(values, asked, n)[task] - 1e-9


@given(candidates, weights, tasks, sizes)
def test_no_weights_give_a_task_more_than_it_has_alone(
    values: NDArray[np.float32], asked: list[float], task: int, n: int
) -> None:
    alone = [float(place == task) for place in range(len(TASKS))]
    best = np.sort(chances(values)[:, task])[::-1][:n].mean()
    np.testing.assert_allclose(shares_of(values, alone, n)[task], best)
    assert shares_of(values, asked, n)[task] <= best + 1e-9


@given(candidates, weights, st.sampled_from([0.5, 2.0, 1024.0]), sizes)
def test_only_proportions_of_weights_matter(
    values: NDArray[np.float32], asked: list[float], factor: float, n: int
) -> None:
    np.testing.assert_array_equal(shares_of(values, asked, n), shares_of(values, [factor * one for one in asked], n))


@given(candidates, weights, tasks, sizes)
def test_a_task_that_weighs_nothing_changes_nothing(
    values: NDArray[np.float32], asked: list[float], task: int, n: int
) -> None:
    asked = [weight * (place != task) for place, weight in enumerate(asked)]
    if not any(asked):
        return
    other = values.copy()
    other[:, task] = other[::-1, task]
    kept = [place for place in range(len(TASKS)) if place != task]
    np.testing.assert_array_equal(shares_of(values, asked, n)[kept], shares_of(other, asked, n)[kept])
