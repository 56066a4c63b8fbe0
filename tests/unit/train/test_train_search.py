"""Searched weights: seeded, never worse than the recipe's on the validation part, and found where they matter."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from model.config import Recipe, Task, Training
from model.data.loading import load
from model.features.spec import ChannelSpec, FeatureSpec, TaskSpec
from model.nn.model import MultiTaskModel
from model.nn.settings import NetSettings
from model.train.fit import Learner
from model.train.rank import Objective
from model.train.record import Record
from model.train.search import Search
from model.train.slates import Slates
from tests.worlds import write_world

ITEMS, COUNT = 10, 60
SPEC = FeatureSpec(
    event_types=("view",),
    tasks=(TaskSpec(name="like", kind="binary"), TaskSpec(name="noise", kind="binary")),
    dim=8,
    text_dim=3,
    graph_dim=4,
    max_attributes=1,
    max_profile=1,
    rank_history=4,
    channels=(ChannelSpec(name="tower", kind="tower"),),
)
SETTINGS = Training(
    dim=8, ranker_epochs=2, ranker_batch=16, ranker_width=8, weighting="search", search_trials=4, dropout=0.0
)
VECTORS: NDArray[np.float32] = np.random.default_rng(2).normal(size=(ITEMS, 8)).astype(np.float32)


def tasks(noise: float = 1.0) -> tuple[Task, ...]:
    """One task that can be learned, and one whose labels are drawn by lot."""
    return (
        Task(name="like", kind="binary", label="value > 3", weight=0.5),
        Task(name="noise", kind="binary", label="value > 4", weight=noise),
    )


def net() -> MultiTaskModel:
    torch.manual_seed(0)
    sizes = NetSettings(heads=2, layers=1, dropout=0.0, n_experts=2, expert_width=8, ranker_width=8)
    return MultiTaskModel(SPEC, ITEMS, ITEMS, 1, sizes)


def slates(seed: int = 0) -> Slates:
    rng, some = np.random.default_rng(seed), net().ranker
    features = rng.normal(size=(COUNT, 3, len(some.candidate_norm.mean))).astype(np.float32)
    labels = np.stack([features[..., 1] > 0, rng.random((COUNT, 3)) < 0.5], axis=-1).astype(np.float32)
    return Slates(
        np.arange(COUNT), np.zeros(COUNT, np.int64), rng.integers(0, ITEMS, (COUNT, 3)),
        np.tile(np.asarray([1, 2, 2], np.int8), (COUNT, 1)), labels, features,
        rng.normal(size=(COUNT, len(some.user_norm.mean))).astype(np.float32),
        rng.normal(size=(COUNT, 8)).astype(np.float32), np.zeros((COUNT, 1), np.int32), np.zeros((COUNT, 1), np.int64),
        rng.integers(0, ITEMS, (COUNT, 4)), np.ones((COUNT, 4), np.int64), np.full((COUNT, 4), 0.5, np.float32),
        np.zeros((COUNT, 4), np.int64), np.ones(COUNT, bool), np.ones(COUNT, bool), np.zeros((COUNT, 3), np.float32),
    )  # fmt: skip


def search(settings: Training = SETTINGS, noise: float = 1.0) -> Search:
    return Search(net(), Objective(SPEC, tasks(noise)), [slates()], [slates(1)], VECTORS, settings)


def test_the_same_seed_finds_the_same_and_it_is_never_worse_than_the_recipe() -> None:
    one, same = search().run(), search().run()
    assert one == same
    assert float(str(one.figures["gain"])) >= 0.0
    assert one.settings.weighting == "fixed"
    assert sum(task.weight for task in one.tasks) == pytest.approx(1.5)
    assert one.tasks != search(SETTINGS.model_copy(update={"seed": 5})).run().tasks


def test_the_gain_is_relative_to_the_recipes_figures_and_no_task_rules_it() -> None:
    mine = search()
    mine.base = {"ranker/valid/like": 0.5, "ranker/valid/noise": 0.7}
    assert mine.gain(mine.base) == 0.0
    assert mine.gain({"ranker/valid/like": 0.4, "ranker/valid/noise": 0.7}) == pytest.approx(0.1)
    assert mine.gain({"ranker/valid/like": 0.5, "ranker/valid/noise": 70.0}) == pytest.approx(-0.5)


def test_lists_are_judged_by_their_order() -> None:
    lists = (tasks()[0].model_copy(update={"negatives": 1}), tasks()[1])
    mine = Search(net(), Objective(SPEC, lists), [slates()], [slates(1)], VECTORS, SETTINGS)
    mine.base = {"ranker/ndcg@10/like": 0.2, "ranker/valid/like": 9.0, "ranker/valid/noise": 0.0}
    assert mine.gain(mine.base | {"ranker/ndcg@10/like": 0.3}) == pytest.approx(0.25)


def test_the_rankers_settings_are_searched_only_if_asked_for() -> None:
    wide = search(SETTINGS.model_copy(update={"search_ranker": True, "search_trials": 6}))
    found = wide.run()
    width = found.settings.ranker_width
    assert width in (4, 8, 16)
    assert wide.model.settings.ranker_width == width == wide.model.ranker.query.in_features
    plain = search().run().settings
    assert (plain.ranker_width, plain.ranker_learning_rate) == (8, SETTINGS.ranker_learning_rate)


def test_a_task_without_weight_keeps_none() -> None:
    found = search(noise=0.0).run()
    assert [task.weight for task in found.tasks] == [0.5, 0.0]
    assert found.figures["gain"] == 0.0


def test_trials_that_do_worse_than_most_are_cut_short() -> None:
    found = search(SETTINGS.model_copy(update={"search_trials": 14, "ranker_epochs": 3})).run()
    trials = found.figures["trials"]
    assert isinstance(trials, dict)
    assert trials["pruned"] >= 1
    assert sum(trials.values()) == 14


def test_a_recipe_that_asks_for_a_search_is_fitted_with_what_it_found(tmp_path: Path) -> None:
    changes: dict[str, JsonValue] = {
        "epochs": 1,
        "ranker_epochs": 1,
        "search_trials": 3,
        "weighting": "search",
        "twins": False,
        "slate": 5,
    }
    named = {f"training.{name}": value for name, value in changes.items()}
    recipe = Recipe.load(write_world(tmp_path)).under("quick", named)
    dataset, record = load(recipe), Record(tmp_path / "runs")
    learner = Learner(recipe, dataset, np.ones((len(dataset.items), 4), np.float32), record)
    learner.fit_channels()
    learner.fit_towers()
    learner.fit_ranker()
    record.close()
    found = record.figures["search"]
    assert sum(found["trials"].values()) == 3
    assert {task.name: pytest.approx(task.weight, abs=1e-4) for task in learner.objective.tasks} == found["weights"]
    assert "ranker/weight/like" in record.curves[-1]
    assert record.curves[-1]["ranker/weight/like"] == pytest.approx(found["weights"]["like"], abs=1e-4)
