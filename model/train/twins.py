"""Each task alone: the same slates and towers, a ranker of its own; shows where learning together hurts."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model.config import Task, Training
from model.features.spec import FeatureSpec
from model.nn.model import MultiTaskModel
from model.nn.ranker import Ranker
from model.train.metrics import auc, ndcg, rmse
from model.train.rank import Objective, fit_ranker, flattened, list_ranks, readings
from model.train.slates import Slates

Figures = dict[str, dict[str, float]]


def twin_figures(
    model: MultiTaskModel,
    objective: Objective,
    parts: Sequence[Slates],
    valid: Sequence[Slates],
    vectors: NDArray[np.float32],
    settings: Training,
    record: Callable[[int, dict[str, float]], None],
) -> Figures:
    """Task → figures on the validation slates of the model as it is (`together …`) and of its twin (`alone …`)."""
    together = task_quality(objective, valid, [readings(model, part, vectors) for part in valid])
    found: Figures = {}
    for place, task in enumerate(objective.tasks):
        alone = Objective(one_task(objective.spec, place), [task])
        mine, theirs = ([only(part, place) for part in some] for some in (parts, valid))
        twin = copy.deepcopy(model)
        torch.manual_seed(settings.seed)
        twin.ranker = Ranker(alone.spec, model.settings)
        generator = np.random.default_rng(settings.seed)
        named = _named(record, task)
        fit_ranker(twin, alone, mine, theirs, vectors, settings, generator, named)
        apart = task_quality(alone, theirs, [readings(twin, part, vectors) for part in theirs])[task.name]
        found[task.name] = {f"together {name}": value for name, value in together[task.name].items()}
        found[task.name] |= {f"alone {name}": value for name, value in apart.items()}
    return found


def _named(record: Callable[[int, dict[str, float]], None], task: Task) -> Callable[[int, dict[str, float]], None]:
    return lambda epoch, figures: record(epoch, {f"alone/{task.name}/{name}": one for name, one in figures.items()})


def one_task(spec: FeatureSpec, place: int) -> FeatureSpec:
    """The spec with one task only, out of its chain."""
    return spec.model_copy(update={"tasks": (spec.tasks[place].model_copy(update={"after": None}),)})


def only(slates: Slates, place: int) -> Slates:
    """Slates with the labels of one task."""
    return slates.replaced(labels=slates.labels[..., place : place + 1])


def task_quality(objective: Objective, valid: Sequence[Slates], given: Sequence[NDArray[np.float32]]) -> Figures:
    """NDCG@10 of tasks that order lists, AUC of binary ones, RMSE of values; readings [S, C, T] a part."""
    (labels, values), found = flattened(objective, valid, given), {}
    for place, task in enumerate(objective.spec.tasks):
        known = ~np.isnan(labels[:, place])
        truth, said = labels[known, place], values[known, place]
        figures = {"ndcg@10": list_quality(valid, given, place)} if place in objective.lists else {}
        if task.kind == "binary":
            figures["auc"] = auc(truth, said)
        elif task.kind != "next_item":
            figures["rmse"] = rmse(truth, said)
        found[task.name] = figures
    return found


def list_quality(valid: Sequence[Slates], given: Sequence[NDArray[np.float32]], place: int) -> float:
    """NDCG@10 of one task's readings over the slates that are lists."""
    return ndcg(np.concatenate([list_ranks(part, said[..., place]) for part, said in zip(valid, given, strict=True)]))
