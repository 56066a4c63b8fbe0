"""From task values to one score: weights as asked, values by their range, refusals that name the tasks."""

import numpy as np
import pytest

from app.pipeline.blend import blend_weights, blended
from model.errors import RequestError
from model.features.spec import TaskSpec

TASKS = (
    TaskSpec(name="interest", kind="binary", blend=3.0),
    TaskSpec(name="like", kind="binary", blend=1.0),
    TaskSpec(name="rating", kind="regression", low=1, high=5),
)


def test_the_bundle_blends_as_its_recipe_says() -> None:
    np.testing.assert_allclose(blend_weights(TASKS, None), [0.75, 0.25, 0.0])


def test_asked_weights_replace_the_bundles() -> None:
    np.testing.assert_allclose(blend_weights(TASKS, {"rating": 2.0, "like": 2}), [0.0, 0.5, 0.5])


def test_a_recipe_that_blends_nothing_weighs_all_tasks_alike() -> None:
    tasks = (TaskSpec(name="a", kind="binary"), TaskSpec(name="b", kind="binary"))
    np.testing.assert_allclose(blend_weights(tasks, None), [0.5, 0.5])


def test_huge_weights_do_not_overflow() -> None:
    np.testing.assert_allclose(blend_weights(TASKS, {"interest": 1e308, "like": 1e308}), [0.5, 0.5, 0.0])


def test_values_are_brought_to_their_range() -> None:
    values = np.asarray([[0.2, 0.9, 1.0], [0.2, 0.9, 3.0], [0.2, 0.9, 7.0]], np.float32)
    np.testing.assert_allclose(blended(TASKS, values, np.asarray([0.0, 0.0, 1.0])), [0.0, 0.5, 1.0])
    np.testing.assert_allclose(
        blended(TASKS, values, blend_weights(TASKS, {"like": 1, "rating": 1}))[1], 0.7, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"buy": 1.0}, r"task_weights: found 'buy'; known tasks are interest, like, rating"),
        ({"like": -1.0}, r"task_weights\.like: found -1\.0; give a finite number of at least 0"),
        ({"like": float("nan")}, r"task_weights\.like: found nan"),
        ({"like": float("inf")}, r"task_weights\.like: found inf"),
        ({"like": 0.0}, r"task_weights: found \{'like': 0\.0\}; give a weight above 0 to one of interest, like"),
        ({}, r"task_weights: found \{\}; give a weight above 0"),
    ],
)
def test_weights_that_cannot_be_are_refused(asked: dict[str, float], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        blend_weights(TASKS, asked)
