"""What lies behind an evaluation's figures: by how much was known, by group of users, and what is shown how often."""

import numpy as np
from numpy.typing import NDArray

from model.config import Recipe
from model.data.log import Dataset
from model.data.spec import context_table
from model.train.amounts import Ranks, by_item_events, by_known
from model.train.baselines import popularity
from model.train.evaluate import Evaluation, Figures, blended, calibrated_values, test_slates
from model.train.fairness import exposure_by_popularity, group_gaps
from model.train.fit import Fitted
from model.train.moments import Moments
from model.train.rank import Objective, flattened, list_ranks
from model.train.system import System
from model.train.twins import compare_twins


def study(recipe: Recipe, dataset: Dataset, system: System, found: Evaluation, seed: int = 0) -> Figures:
    """Figures that join those of `found`: known, items, exposure_by_popularity, groups, gaps."""
    generator = np.random.default_rng(seed)
    items, log = len(dataset.items), dataset.log
    counts = np.bincount(system.known.item, minlength=items)
    users, taken = log.user[found.rows], log.item[found.rows]
    ours = found.ranks["polyrank"]
    groups, gaps = group_gaps(system.spec.profile, system.profile, users, ours, generator)
    shown = {name: found.ranks[name] for name in ("polyrank", "popularity")}
    return {
        "known": known_figures(recipe, dataset, system, found.rows, generator),
        "items": by_item_events(counts, taken, shown, judged_labels(recipe, system, found)),
        "exposure_by_popularity": exposure_by_popularity(counts, found.exposure, np.bincount(taken, minlength=items)),
        "groups": groups,
        "gaps": gaps,
    }


def twin_figures(recipe: Recipe, fitted: Fitted, found: Evaluation) -> Figures:
    """Each task learned together with the others against learned alone, on the slates of the test part."""
    if fitted.twins is None:
        return {}
    objective, generator = Objective(fitted.spec, recipe.pair_tasks), np.random.default_rng(recipe.training.seed)
    vectors = fitted.items.vector
    return {"twins": compare_twins(fitted.twins, fitted.model, objective, found.parts, vectors, generator)}


def known_figures(
    recipe: Recipe, dataset: Dataset, system: System, rows: NDArray[np.int64], generator: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Quality of the system and of popularity by how many events are told of a user."""
    contexts = context_table(system.spec, dataset, dataset.log)
    moments = Moments(system.spec, dataset.log, len(dataset.users), system.temporal, contexts=contexts)
    by_user = system.known.by_user(len(dataset.users))
    peers = {"polyrank": _served(recipe, dataset, system), "popularity": popularity(by_user, len(dataset.items))}
    return by_known(moments, rows, peers, generator)


def _served(recipe: Recipe, dataset: Dataset, system: System) -> Ranks:
    """Ranks in the lists that the system would answer."""

    def ranks(moments: Moments, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        slates = test_slates(recipe, dataset, system, moments, rows, np.random.default_rng(0))
        return list_ranks(slates, blended(system.spec.tasks, calibrated_values(system, system.rank(slates))))

    return ranks


def judged_labels(
    recipe: Recipe, system: System, found: Evaluation
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]]:
    """Binary task → items, labels and probabilities of all that is labelled, each [n]."""
    objective = Objective(system.spec, recipe.pair_tasks)
    labels, said = flattened(objective, found.parts, found.said)
    items = np.concatenate([part.candidates.ravel() for part in found.parts])
    known = ~np.isnan(labels)
    return {
        task.name: (items[known[:, place]], labels[known[:, place], place], said[known[:, place], place])
        for place, task in enumerate(system.spec.tasks)
        if task.kind == "binary"
    }
