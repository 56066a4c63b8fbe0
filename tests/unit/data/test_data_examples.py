"""Examples: the logged rows, their negatives, and what each is labelled with."""

from pathlib import Path

import numpy as np
import pytest

from model.config import Recipe
from model.data import TEST, TRAIN, VALID, Dataset, load
from model.data.examples import build_examples
from tests.domains import EVENTS, TASK, log, recipe
from tests.worlds import write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Dataset]:
    made = Recipe.load(write_world(tmp_path_factory.mktemp("world")))
    return made, load(made)


def test_each_positive_gets_its_negatives_for_its_task_only(world: tuple[Recipe, Dataset]) -> None:
    made, data = world
    examples = build_examples(made, data, (TRAIN,), np.random.default_rng(0))
    positives = len(data.log.part(TRAIN))
    assert len(examples) == positives * 5
    assert examples.negative.sum() == positives * 4
    assert (examples.labels[examples.negative, 0] == 0).all()
    assert np.isnan(examples.labels[examples.negative, 1:]).all()
    assert (examples.labels[~examples.negative, 0] == 1).all()


def test_negatives_stand_beside_their_positive_at_its_moment(world: tuple[Recipe, Dataset]) -> None:
    made, data = world
    examples = build_examples(made, data, (VALID,), np.random.default_rng(0))
    for name in ("user", "time", "order", "context"):
        column = getattr(examples, name)
        np.testing.assert_array_equal(column[::5], column[4::5])
    assert not examples.negative[::5].any()


def test_no_negative_is_an_item_that_the_user_has_had_by_then(world: tuple[Recipe, Dataset]) -> None:
    made, data = world
    examples = build_examples(made, data, (TRAIN,), np.random.default_rng(0))
    drawn = set(zip(examples.user[examples.negative].tolist(), examples.item[examples.negative].tolist(), strict=True))
    train = data.log.part(TRAIN)
    assert not drawn & set(zip(train.user.tolist(), train.item.tolist(), strict=True))


def test_a_negative_may_be_an_item_yet_to_come(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,y,2")
    made = recipe(tmp_path, split={"train": 0.5, "valid": 0.1})
    data = load(made)
    assert data.log.split.tolist() == [TRAIN, TEST]
    examples = build_examples(made, data, (TRAIN,), np.random.default_rng(0))
    assert examples.item[examples.negative].tolist() == [data.items.row("y")]


def test_unlabelled_rows_are_no_examples_and_impressions_are(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1,1", "a,y,2,0", "a,z,3,", "b,x,4,1", header="u,i,t,c")
    event = {"column": "c", "map": {"1": "view"}, "unmapped": "impression"}
    tasks = [{"name": "click", "kind": "binary", "label": "c == 1"}]
    made = recipe(tmp_path, {**EVENTS, "event": event}, tasks, split={"train": 0.9, "valid": 0.05})
    data = load(made)
    examples = build_examples(made, data, (TRAIN, VALID, TEST), np.random.default_rng(0))
    assert examples.labels[:, 0].tolist() == [1, 0, 1]
    assert examples.order.tolist() == [0, 1, 3]


def test_a_user_who_has_seen_everything_gets_no_negatives(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,y,2", "b,x,3")
    made = recipe(tmp_path, tasks=[{**TASK, "negatives": 3}])
    data = load(made)
    examples = build_examples(made, data, (TRAIN, VALID, TEST), np.random.default_rng(0))
    a, b = data.users.row("a"), data.users.row("b")
    assert not examples.negative[examples.user == a].any()
    assert examples.item[(examples.user == b) & examples.negative].tolist() == [data.items.row("y")] * 3
