"""Figures of a whole system on the test part: lists over the full catalogue, tasks, calibration, exposure, peers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config import Recipe
from model.data.log import TEST, Dataset
from model.data.spec import context_table
from model.features.spec import TaskSpec
from model.train import metrics
from model.train.baselines import make_baselines
from model.train.moments import PAD, Moments
from model.train.rank import Objective, flattened, list_ranks
from model.train.slates import (
    OFFERED,
    POSITIVE,
    Draw,
    Knowledge,
    SlateBuilder,
    Slates,
    firsts,
    moment_groups,
)
from model.train.system import System

MOMENTS = 2000  # test rows that lists are made for
JUDGED_ROWS = 20_000  # test rows that carry labels and are no events
TOP = 10
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured, and what a report shows of it.

    figures: nested, for the manifest · reliability: task → (said, was, count) a bin · exposure int64 [N]: how often
    each item is in a list · lists int64 [S, TOP] (rows, PAD-padded) of the test rows `rows` · probabilities float32
    [S, TOP, T] of them · parts: the slates behind the tasks' figures, first those of `rows` · said: values
    float32 [S, C, T] of each part · ranks: system → rank of what happened, int64 [S].
    """

    figures: Figures
    reliability: Mapping[str, Sequence[tuple[float, float, int]]]
    exposure: NDArray[np.int64]
    rows: NDArray[np.int64]
    lists: NDArray[np.int64]
    values: NDArray[np.float32]
    parts: Sequence[Slates]
    said: Sequence[NDArray[np.float32]]
    ranks: Mapping[str, NDArray[np.int64]]


def evaluate(recipe: Recipe, dataset: Dataset, system: System, seed: int = 0) -> Evaluation:
    """Measure a system and its peers on (a sample of) the test rows, each at its own moment."""
    generator = np.random.default_rng(seed)
    contexts = context_table(system.spec, dataset, dataset.log)
    moments = Moments(system.spec, dataset.log, len(dataset.users), system.temporal, contexts=contexts)
    rows = np.flatnonzero(dataset.log.split == TEST)
    rows = np.sort(generator.permutation(rows)[:MOMENTS])
    slates = test_slates(recipe, dataset, system, moments, rows, generator)
    raw = system.rank(slates)
    values = calibrated_values(system, raw)
    scores = blended(system.spec.tasks, values)
    objective = Objective(system.spec, recipe.pair_tasks)
    judged = judged_slates(dataset, system, generator)
    parts, said = [slates, judged], [values, calibrated_values(system, system.rank(judged))]
    tasks, bins = task_figures(objective, parts, said)
    lists, shown = top_lists(slates, scores, values)
    ranks = {"polyrank": list_ranks(slates, scores)} | peer_ranks(dataset, system, moments, rows)
    exposure = np.bincount(lists[lists != PAD], minlength=len(dataset.items))
    figures: Figures = {
        "lists": {name: list_figures(found) for name, found in ranks.items()},
        "tasks": tasks,
        "exposure": {"coverage@10": metrics.coverage(lists, len(dataset.items)), "gini": metrics.gini(exposure)},
        "moments": len(rows),
    }
    return Evaluation(figures, bins, exposure, rows, lists, shown, parts, said, ranks)


def test_slates(
    recipe: Recipe,
    dataset: Dataset,
    system: System,
    moments: Moments,
    rows: NDArray[np.int64],
    generator: np.random.Generator,
) -> Slates:
    """The candidates that would be ranked at each test row's moment, and what happened."""
    context = context_table(system.spec, dataset, moments.log)
    negatives = max(task.negatives for task in recipe.pair_tasks)
    builder = SlateBuilder(
        system.spec, moments, context, system.profile, Draw(recipe.serving.candidates, negatives, whole=True)
    )
    known = knowledge(dataset, system)
    return builder.build(rows, system.users(moments, rows, context), known, generator, "test lists")


def judged_slates(dataset: Dataset, system: System, generator: np.random.Generator) -> Slates:
    """(A sample of) the test rows that carry labels and are no events, each at its own moment."""
    asked = dataset.impressions
    contexts = context_table(system.spec, dataset, dataset.log)
    moments = Moments(system.spec, dataset.log, len(dataset.users), system.temporal, asked, contexts)
    context = context_table(system.spec, dataset, asked)
    rows = np.sort(generator.permutation(np.flatnonzero(asked.split == TEST))[:JUDGED_ROWS])
    groups = moment_groups(moments, context, rows, 1)
    builder = SlateBuilder(system.spec, moments, context, system.profile, Draw(0, 0))
    users = system.users(moments, firsts(groups), context)
    return builder.judge(groups, users, knowledge(dataset, system), "test rows")


def knowledge(dataset: Dataset, system: System) -> Knowledge:
    """What a system knows; by time its counters move on with the log, the test part included."""
    counters = None if system.temporal else system.counters
    met, contexts = np.ones(len(dataset.items), bool), system.counters.contexts
    return Knowledge(system.tables, counters, dataset.log, system.items, met, contexts)


def calibrated_values(system: System, raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Raw outputs [S, C, T] as the service shows them."""
    columns = [system.calibration[task.name].apply(raw[..., place]) for place, task in enumerate(system.spec.tasks)]
    return np.stack(columns, axis=-1)


def blended(tasks: Sequence[TaskSpec], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores [...] of calibrated values [..., T] under the recipe's own weights (all alike when none is given)."""
    weights = np.asarray([task.blend for task in tasks])
    weights = weights if weights.any() else np.ones(len(tasks))
    parts = [_chance(task, values[..., place]) * weights[place] for place, task in enumerate(tasks)]
    return np.asarray(sum(parts) / weights.sum(), np.float32)


def _chance(task: TaskSpec, values: NDArray[np.float32]) -> NDArray[np.float64]:
    if task.kind not in ("regression", "ordinal"):
        return values.astype(np.float64)
    return np.clip((values.astype(np.float64) - task.low) / (task.high - task.low), 0.0, 1.0)


def list_figures(ranks: NDArray[np.int64]) -> dict[str, float]:
    """NDCG@10, HR@10 and Recall@50 of what happened."""
    return {
        "ndcg@10": metrics.ndcg(ranks), "hr@10": metrics.hit_rate(ranks), "recall@50": metrics.hit_rate(ranks, 50)
    }  # fmt: skip


def peer_ranks(
    dataset: Dataset, system: System, moments: Moments, rows: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """The same ranks by peers that learned from the same log."""
    peers = make_baselines(system.known.by_user(len(dataset.users)), len(dataset.items))
    return {name: ranks(moments, rows) for name, ranks in peers.items()}


def task_figures(
    objective: Objective, parts: Sequence[Slates], values: Sequence[NDArray[np.float32]]
) -> tuple[dict[str, dict[str, float]], dict[str, list[tuple[float, float, int]]]]:
    """AUC, log loss and calibration error of binary tasks, RMSE of all others; and the binary tasks' reliability."""
    (labels, shown), figures, bins = flattened(objective, parts, values), {}, {}
    for place, task in enumerate(objective.spec.tasks):
        known = ~np.isnan(labels[:, place])
        truth, said = labels[known, place], shown[known, place]
        if task.kind in ("regression", "ordinal"):
            figures[task.name] = {"rmse": metrics.rmse(truth, said), "labels": float(len(truth))}
        elif task.kind == "binary" and len(truth):
            figures[task.name] = binary_figures(truth, said)
            bins[task.name] = metrics.reliability(truth, said)
    return figures, bins


def binary_figures(truth: NDArray[np.float32], said: NDArray[np.float32]) -> dict[str, float]:
    """AUC, log loss, calibration error and number of labels."""
    return {
        "auc": metrics.auc(truth, said), "log_loss": metrics.log_loss(truth, said), "ece": metrics.ece(truth, said),
        "labels": float(len(truth)),
    }  # fmt: skip


def top_lists(
    slates: Slates, scores: NDArray[np.float32], values: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The first TOP rows of each served list (PAD-padded), [S, TOP], and their values [S, TOP, T]."""
    served = (slates.role == OFFERED) | ((slates.role == POSITIVE) & (slates.offered & slates.fresh)[:, None])
    order = np.argsort(np.where(served, -scores, np.inf), axis=1, kind="stable")[:, :TOP]
    rows = np.where(np.take_along_axis(served, order, 1), np.take_along_axis(slates.candidates, order, 1), PAD)
    return rows, np.take_along_axis(values, order[..., None], 1)


def table(figures: Figures) -> str:
    """The figures as text, for a terminal."""
    lines = [f"{'':14}{'NDCG@10':>9}{'HR@10':>9}{'Recall@50':>11}"]
    for name, one in figures["lists"].items():
        lines.append(f"{name:14}{one['ndcg@10']:>9.4f}{one['hr@10']:>9.4f}{one['recall@50']:>11.4f}")
    for name, one in figures["tasks"].items():
        lines.append(f"{name:14}" + ", ".join(f"{what} {value:.4g}" for what, value in one.items()))
    return "\n".join(lines)
