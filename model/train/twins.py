"""Each task alone: the same slates and towers, a ranker of its own; shows where learning together hurts."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from model.config import Task, Training
from model.features.spec import FeatureSpec
from model.nn.model import MultiTaskModel
from model.nn.ranker import Ranker
from model.train.metrics import auc, ndcg, rmse
from model.train.rank import Objective, fit_ranker, list_ranks, readings
from model.train.slates import Slates

Figures = dict[str, dict[str, float]]


def twin_figures(
    model: MultiTaskModel,
    objective: Objective,
    slates: Slates,
    valid: Slates,
    vectors: NDArray[np.float32],
    settings: Training,
    record: Callable[[int, dict[str, float]], None],
) -> Figures:
    """Task → figures on the validation slates of the model as it is (`together …`) and of its twin (`alone …`)."""
    together = task_quality(objective, valid, readings(model, valid, vectors))
    found: Figures = {}
    for place, task in enumerate(objective.tasks):
        alone = Objective(one_task(objective.spec, place), [task])
        mine, theirs = only(slates, place), only(valid, place)
        twin = copy.deepcopy(model)
        torch.manual_seed(settings.seed)
        twin.ranker = Ranker(alone.spec, model.settings)
        generator = np.random.default_rng(settings.seed)
        named = _named(record, task)
        fit_ranker(twin, alone, mine, theirs, vectors, settings, generator, named)
        apart = task_quality(alone, theirs, readings(twin, theirs, vectors))[task.name]
        found[task.name] = {f"together {name}": value for name, value in together[task.name].items()}
        found[task.name] |= {f"alone {name}": value for name, value in apart.items()}
    return found


def _named(record: Callable[[int, dict[str, float]], None], task: Task) -> Callable[[int, dict[str, float]], None]:
    return lambda epoch, figures: record(epoch, {f"alone/{task.name}/{name}": one for name, one in figures.items()})


def one_task(spec: FeatureSpec, place: int) -> FeatureSpec:
    """The spec with one task only."""
    return spec.model_copy(update={"tasks": spec.tasks[place : place + 1]})


def only(slates: Slates, place: int) -> Slates:
    """Slates with the labels of one task."""
    return slates.replaced(labels=slates.labels[..., place : place + 1])


def task_quality(objective: Objective, valid: Slates, given: NDArray[np.float32]) -> Figures:
    """NDCG@10 of tasks that order lists, AUC of binary ones, RMSE of values."""
    labels, found = objective.labels(valid), {}
    for place, task in enumerate(objective.spec.tasks):
        known = ~np.isnan(labels[..., place])
        truth, said = labels[..., place][known], given[..., place][known]
        figures = {"ndcg@10": ndcg(list_ranks(valid, given[..., place]))} if place in objective.lists else {}
        if task.kind == "binary":
            figures["auc"] = auc(truth, said)
        elif task.kind != "next_item":
            figures["rmse"] = rmse(truth, said)
        found[task.name] = figures
    return found
