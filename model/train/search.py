"""Task weights, and some settings of the ranker, searched on the validation part over slates that are already built."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import optuna
import torch
from numpy.typing import NDArray

from model.config import Task, Training
from model.nn.model import MultiTaskModel
from model.nn.ranker import Ranker
from model.nn.settings import NetSettings
from model.train.rank import Objective, fit_ranker, validate
from model.train.slates import Slates

WIDEST = 10.0  # a weight is searched between its own divided and multiplied by this
RATES, WIDTHS = 3.0, (0.5, 1.0, 2.0)  # the same for the learning rate; widths as parts of the given one
MOST = 1.0  # relative improvement that counts at most, so that no tiny base figure rules the mean
UNPRUNED = 3  # trials that always run to their end
Figures = Mapping[str, float]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What the search chose: tasks with their weights, settings under which they are fixed, and how it went."""

    tasks: tuple[Task, ...]
    settings: Training
    figures: dict[str, object]


class Search:
    """One study: `objective` under other weights and settings, each a ranker of its own on the same slates.

    The figure of a trial is the mean over tasks of the relative improvement of the validation figure against the
    recipe's own weights, which are the first trial; so what is found is never worse than they are, on that part.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        objective: Objective,
        parts: Sequence[Slates],
        valid: Sequence[Slates],
        vectors: NDArray[np.float32],
        settings: Training,
    ) -> None:
        self.model, self.objective, self.parts, self.valid = model, objective, parts, valid
        self.vectors, self.settings = vectors, settings.changed({"weighting": "fixed"})
        self.base: Figures = {}

    def run(self) -> Found:
        """Try `search_trials` settings by a seeded TPE (Bergstra et al. 2011), hopeless ones cut short; take the best.

        The model then has an untrained ranker of the width that was found.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self.settings.seed, n_startup_trials=4)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=1)
        study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        study.enqueue_trial(self._given())
        study.optimize(self._trial, n_trials=self.settings.search_trials)
        tasks, settings = self._chosen(study.best_params)
        self.model.settings, self.model.ranker = self._ranker(settings)
        states = [trial.state.name.lower() for trial in study.trials]
        figures = {"gain": study.best_value, "trials": {state: states.count(state) for state in sorted(set(states))}}
        weights = {task.name: round(task.weight, 4) for task in tasks}
        log.info("search: weights %s gain %.4f over the recipe's", weights, study.best_value)
        kept = {name: getattr(settings, name) for name in ("ranker_learning_rate", "ranker_width")}
        return Found(tasks, settings, figures | {"weights": weights} | kept)

    def _trial(self, trial: optuna.Trial) -> float:
        """Train one ranker and say how much better than the recipe's weights it is."""
        tasks, settings = self._chosen(self._suggested(trial))
        objective = replace(self.objective, tasks=tasks)
        candidate = copy.deepcopy(self.model)
        candidate.settings, candidate.ranker = self._ranker(settings)
        kept: list[dict[str, float]] = []

        def report(epoch: int, figures: dict[str, float]) -> None:
            kept.append(figures)
            if self.base:
                trial.report(self.gain(figures), epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        generator = np.random.default_rng(settings.seed)
        fit_ranker(candidate, objective, self.parts, self.valid, self.vectors, settings, generator, report)
        _, figures = validate(candidate, objective, self.valid, self.vectors)
        if not self.base:
            self.base = figures
            for epoch, one in enumerate(kept, 1):
                trial.report(self.gain(one), epoch)
        return self.gain(figures)

    def gain(self, figures: Figures) -> float:
        """Mean over tasks of the relative improvement of `figures` against the recipe's weights."""
        found = [self._gain(place, figures) for place, task in enumerate(self.objective.tasks) if task.weight]
        return float(np.mean(found)) if found else 0.0

    def _gain(self, place: int, figures: Figures) -> float:
        """Of one task: its NDCG where it orders lists, else its loss; 0 where there was nothing to compare with."""
        listed = place in self.objective.lists
        name = f"ranker/{'ndcg@10' if listed else 'valid'}/{self.objective.tasks[place].name}"
        before, now = self.base[name], figures[name]
        change = now - before if listed else before - now
        return float(np.clip(change / before, -MOST, MOST)) if before > 0 else 0.0

    def _given(self) -> dict[str, float]:
        """The recipe's own point of the search space."""
        given = dict.fromkeys(self._weighed(), 1.0)
        return given | ({"rate": 1.0, "width": 1.0} if self.settings.search_ranker else {})

    def _suggested(self, trial: optuna.Trial) -> dict[str, float]:
        point = {name: trial.suggest_float(name, 1 / WIDEST, WIDEST, log=True) for name in self._weighed()}
        if self.settings.search_ranker:
            point["rate"] = trial.suggest_float("rate", 1 / RATES, RATES, log=True)
            point["width"] = trial.suggest_categorical("width", WIDTHS)
        return point

    def _weighed(self) -> list[str]:
        """Parameters of the tasks whose weights are searched: those that have one, when there is more than one."""
        names = [f"weight {task.name}" for task in self.objective.tasks if task.weight]
        return names if len(names) > 1 else []

    def _chosen(self, point: Mapping[str, float]) -> tuple[tuple[Task, ...], Training]:
        """Tasks and settings at a point; the weights keep their sum, as only their ratios are searched."""
        tasks = self.objective.tasks
        free = np.asarray([task.weight * point.get(f"weight {task.name}", 1.0) for task in tasks])
        weights = free * (sum(task.weight for task in tasks) / max(free.sum(), 1e-12))
        width = max(round(self.settings.ranker_width * point.get("width", 1.0)), 4)
        rate = self.settings.ranker_learning_rate * point.get("rate", 1.0)
        settings = self.settings.changed({"ranker_width": width, "ranker_learning_rate": rate})
        return reweighed(tasks, weights.tolist()), settings

    def _ranker(self, settings: Training) -> tuple[NetSettings, Ranker]:
        """An untrained ranker under some settings, always from the same random start."""
        sizes = self.model.settings.model_copy(update={"ranker_width": settings.ranker_width})
        torch.manual_seed(settings.seed)
        return sizes, Ranker(self.model.spec, sizes)


def reweighed(tasks: Sequence[Task], weights: Sequence[float]) -> tuple[Task, ...]:
    """The tasks with other weights."""
    return tuple(task.model_copy(update={"weight": weight}) for task, weight in zip(tasks, weights, strict=True))
