"""The last refit: where the log is split by time the ranker is taught again, with the rows that validated."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import Recipe, Task
from model.data.loading import load
from model.train.fit import Learner
from model.train.record import Record
from model.train.slates import POSITIVE
from tests.worlds import write_world


def learner_of(folder: Path, temporal: bool) -> Learner:
    """A learner of a small world, split by time or taken for one that is split by user."""
    changes = {"training.slate": 8, "training.ranker_epochs": 2, "training.ranker_examples": 300, "training.epochs": 1}
    recipe = Recipe.load(write_world(folder)).under("quick", changes)
    dataset, record = load(recipe), Record(folder / "runs")
    learner = Learner(recipe, dataset, np.ones((len(dataset.items), 4), np.float32), record)
    learner.plan = replace(learner.plan, temporal=temporal)
    return learner


@pytest.mark.parametrize("temporal", [True, False])
def test_the_ranker_is_taught_again_where_the_log_is_split_by_time(tmp_path: Path, temporal: bool) -> None:
    learner = learner_of(tmp_path, temporal)
    learner.fit_towers()
    learner.fit_ranker()
    before, judgements = copy.deepcopy(learner.model.state_dict()), learner.judgements
    learner.refit()
    changed = {name for name, one in learner.model.state_dict().items() if not torch.equal(before[name], one)}
    of_ranker = {name for name in changed if name.startswith("ranker.")}
    assert changed  # one of both, never both: a ranker reads the towers that it has learned from
    assert of_ranker == (changed if temporal else set())
    assert learner.judgements is judgements  # calibration stays with rows that the ranker had not seen


def test_without_lists_what_users_judged_themselves_is_taught_again(tmp_path: Path) -> None:
    learner = learner_of(tmp_path, True)
    learner.objective = replace(learner.objective, tasks=[replace_negatives(one) for one in learner.objective.tasks])
    learner.settle(learner.plan.base)
    parts = learner.lessons().newest()
    rows = np.sort(np.unique(np.concatenate([part.row for part in parts])))
    assert len(rows)
    assert learner.plan.valid[rows].all()


def replace_negatives(task: Task) -> Task:
    """The task as one that asks about what users met, and orders no lists."""
    return task.model_copy(update={"negatives": 0})


def test_lessons_of_what_validated_are_lists_around_it(tmp_path: Path) -> None:
    learner = learner_of(tmp_path, True)
    learner.settle(learner.plan.base)
    lists = learner.lessons().newest()[0]
    assert lists.row.tolist() == np.flatnonzero(learner.plan.valid).tolist()
    assert (lists.role[:, 0] == POSITIVE).all()
    assert lists.candidates.shape[1] == 1 + learner.settings.slate + 4
