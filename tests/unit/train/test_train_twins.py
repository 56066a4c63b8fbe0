"""Twins: each task alone beside all together, on the same slates."""

import numpy as np
import pytest
import torch

from model.nn.model import MultiTaskModel
from model.train.rank import Objective
from model.train.twins import Twins, compare_twins, fit_twins, one_task, only, only_task, sampled
from tests.learners import SETTINGS, SPEC, TASKS, VECTORS, net, recorder, slates


def twins_of(model: MultiTaskModel, **changes: int) -> Twins:
    settings = SETTINGS.model_copy(update={"ranker_epochs": 2, "twin_seeds": 2} | changes)
    _, record = recorder()
    return fit_twins(model, Objective(SPEC, TASKS), [slates()], [slates(seed=1)], VECTORS, settings, record)


def test_twins_leave_the_model_and_the_random_numbers_alone() -> None:
    model = net()
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    twins = twins_of(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert (len(twins.together), [len(one) for one in twins.alone]) == (2, [2] * len(TASKS))


def test_twins_are_compared_task_by_task_on_the_same_slates() -> None:
    model, objective = net(), Objective(SPEC, TASKS)
    found = compare_twins(twins_of(model), model, objective, [slates(seed=1)], VECTORS, np.random.default_rng(0))
    assert {"interest ndcg@10", "interest auc", "like auc"} <= found.keys()
    for one in found.values():
        low, high, difference = float(one["low"]), float(one["high"]), float(one["difference"])
        assert low <= high
        assert difference == pytest.approx(float(one["together"]) - float(one["alone"]))
        assert one["verdict"] in ("better", "no difference", "worse")
        assert one["seeds"] == 2.0


def test_a_task_that_is_alone_anyway_is_its_own_twin() -> None:
    """With one task, together and alone are the same ranker from the same seeds: no difference whatever."""
    alone, model = only_task(Objective(SPEC, TASKS), 1), net(one_task(SPEC, 1))
    parts, valid = [only(slates(), 1)], [only(slates(seed=1), 1)]
    settings = SETTINGS.model_copy(update={"ranker_epochs": 1, "twin_seeds": 2})
    twins = fit_twins(model, alone, parts, valid, VECTORS, settings, recorder()[1])
    found = compare_twins(twins, model, alone, valid, VECTORS, np.random.default_rng(0))
    assert found["like auc"]["difference"] == found["like auc"]["low"] == found["like auc"]["high"] == 0.0
    assert found["like auc"]["verdict"] == "no difference"


def test_twins_learn_from_a_share_of_every_part() -> None:
    parts = sampled([slates(30), slates(10)], 20, np.random.default_rng(0))
    assert [len(part) for part in parts] == [15, 5]
    assert [len(part) for part in sampled(parts, 100, np.random.default_rng(0))] == [15, 5]
