"""Each task alone: the same slates and towers, a ranker of its own; shows where learning together hurts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.config import Training
from model.features.spec import FeatureSpec
from model.nn.model import MultiTaskModel, make_ranker
from model.nn.ranker import Ranker
from model.train.rank import Objective, fit_ranker, readings
from model.train.samples import Samples, task_samples
from model.train.significance import paired
from model.train.slates import Slates

Figures = dict[str, dict[str, float | str]]
Progress = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class Twins:
    """Rankers over the same towers, trained on the same slates: of all tasks `together`, by seed, and of each task
    `alone`, by task and seed."""

    together: tuple[Ranker, ...]
    alone: tuple[tuple[Ranker, ...], ...]


def fit_twins(
    model: MultiTaskModel,
    objective: Objective,
    parts: Sequence[Slates],
    valid: Sequence[Slates],
    vectors: NDArray[np.float32],
    settings: Training,
    record: Progress,
) -> Twins:
    """Train both kinds anew, once a seed, on (a sample of) the slates; the model stays as it is."""
    parts = sampled(parts, settings.twin_examples, np.random.default_rng(settings.seed))
    seeds = range(settings.seed, settings.seed + settings.twin_seeds)

    def fitted(what: Objective, mine: Sequence[Slates], theirs: Sequence[Slates], name: str) -> tuple[Ranker, ...]:
        return tuple(
            _fitted(model, what, mine, theirs, vectors, settings, _named(record, name), seed) for seed in seeds
        )

    alone = []
    for place, task in enumerate(objective.tasks):
        mine, theirs = ([only(part, place) for part in some] for some in (parts, valid))
        alone.append(fitted(only_task(objective, place), mine, theirs, f"alone/{task.name}"))
    return Twins(fitted(objective, parts, valid, "alone/all"), tuple(alone))


def _fitted(
    model: MultiTaskModel,
    objective: Objective,
    parts: Sequence[Slates],
    valid: Sequence[Slates],
    vectors: NDArray[np.float32],
    settings: Training,
    record: Progress,
    seed: int,
) -> Ranker:
    """One ranker from one seed."""
    with torch.random.fork_rng(devices=[]):  # what is trained after twins does not depend on them
        torch.manual_seed(seed)
        ranker = make_ranker(objective.spec, model.settings)
        with playing(model, ranker):
            fit_ranker(model, objective, parts, valid, vectors, settings, np.random.default_rng(seed), record)
    return ranker


@contextmanager
def playing(model: MultiTaskModel, ranker: Ranker) -> Iterator[None]:
    """The model with another ranker in the place of its own, for as long as this lasts."""
    own = model.ranker
    model.ranker = ranker
    try:
        yield
    finally:
        model.ranker = own


def compare_twins(
    twins: Twins,
    model: MultiTaskModel,
    objective: Objective,
    parts: Sequence[Slates],
    vectors: NDArray[np.float32],
    generator: np.random.Generator,
) -> Figures:
    """Task and figure → together, alone, their difference with its 95 % interval over slates and seeds, verdict."""
    together = [_samples(model, ranker, objective, parts, vectors) for ranker in twins.together]
    found: Figures = {}
    for place, rankers in enumerate(twins.alone):
        one, mine = only_task(objective, place), [only(part, place) for part in parts]
        alone = [_samples(model, ranker, one, mine, vectors) for ranker in rankers]
        found |= compared(objective.tasks[place].name, together, alone, generator)
    return found


def compared(
    task: str, together: Sequence[Samples], alone: Sequence[Samples], generator: np.random.Generator
) -> Figures:
    """The rows of one task, one a figure; samples by seed."""
    found: Figures = {}
    for figure in together[0][task]:
        pairs = [(both[task][figure], one[task][figure]) for both, one in zip(together, alone, strict=True)]
        what = paired(pairs, generator)
        found[f"{task} {figure}"] = {
            "together": what.first, "alone": what.second, "difference": what.value, "low": what.low,
            "high": what.high, "p": what.p, "seeds": float(len(pairs)), "verdict": what.verdict(figure != "rmse"),
        }  # fmt: skip
    return found


def _samples(
    model: MultiTaskModel,
    ranker: Ranker,
    objective: Objective,
    parts: Sequence[Slates],
    vectors: NDArray[np.float32],
) -> Samples:
    with playing(model, ranker):
        return task_samples(objective, parts, [readings(model, part, vectors) for part in parts])


def _named(record: Progress, name: str) -> Progress:
    return lambda epoch, figures: record(epoch, {f"{name}/{figure}": value for figure, value in figures.items()})


def sampled(parts: Sequence[Slates], most: int, generator: np.random.Generator) -> list[Slates]:
    """At most about `most` slates, the same share of every part."""
    share = min(1.0, most / max(sum(len(part) for part in parts), 1))
    return [part.take(np.sort(generator.permutation(len(part))[: round(share * len(part))])) for part in parts]


def only_task(objective: Objective, place: int) -> Objective:
    """The objective with one task only."""
    return Objective(one_task(objective.spec, place), [objective.tasks[place]])


def one_task(spec: FeatureSpec, place: int) -> FeatureSpec:
    """The spec with one task only, out of its chain."""
    return spec.model_copy(update={"tasks": (spec.tasks[place].model_copy(update={"after": None}),)})


def only(slates: Slates, place: int) -> Slates:
    """Slates with the labels of one task."""
    return slates.replaced(labels=slates.labels[..., place : place + 1])
