"""What each part is worth: the same learning with one part left out at a time, on the same moments of the test part."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from model.config import Recipe
from model.data.log import Dataset
from model.errors import TrainingError
from model.train.evaluate import Evaluation, evaluate
from model.train.fit import Fitted, fit
from model.train.metrics import gains
from model.train.rank import Objective
from model.train.record import Record
from model.train.samples import Samples, task_samples
from model.train.significance import Sample, paired
from model.train.system import of_fitted

WHOLE, SERVED = "whole", "served list"
NEIGHBOURS = ("cooccurrence", "ease", "graph", "content")
PARTS: Mapping[str, Mapping[str, JsonValue]] = {
    **{name: {f"training.{name}": False} for name in ("text", "attributes", "graph", "sequence", "context")},
    **{name: {f"training.{name}": False} for name in ("counters", "sharing")},
    "distillation": {"training.distill": 0.0},
    "channels": {f"training.channels.{name}.enabled": False for name in NEIGHBOURS},
}
SAID = {"better": "helps", "worse": "hurts"}
Figures = dict[str, dict[str, dict[str, float | str]]]


def ablate(
    recipe: Recipe,
    dataset: Dataset,
    text: NDArray[np.float32],
    parts: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
) -> Figures:
    """Part → figure → whole, without, difference, its 95 % interval over moments and seeds, and what it says.

    text float32 [N, text_dim] are the items' text vectors, made once for all; runs are recorded in `folder`. Raises
    TrainingError for a part that is not known, or that the recipe does not have.
    """
    refuse_absent(recipe, dataset, parts)
    recipe = recipe.changed({"training.twins": False})
    whole = [outcome(recipe, dataset, text, seed, folder / f"{WHOLE}-{seed}") for seed in seeds]
    found: Figures = {}
    for part in parts:
        less = recipe.changed(PARTS[part])
        without = [outcome(less, dataset, text, seed, folder / f"{part}-{seed}") for seed in seeds]
        found[part] = differences(whole, without, np.random.default_rng(recipe.training.seed))
    return found


def refuse_absent(recipe: Recipe, dataset: Dataset, parts: Sequence[str]) -> None:
    """Raise TrainingError for a part that cannot be left out, before any work."""
    there = present(recipe, dataset)
    for part in parts:
        if part not in there:
            raise TrainingError("--parts", part, f"this recipe has {', '.join(there)}")


def present(recipe: Recipe, dataset: Dataset) -> list[str]:
    """The parts that a recipe has."""
    absent = {
        "text": not (recipe.items and recipe.items.text),
        "attributes": not dataset.item_records.values,
        "graph": dataset.graph is None,
        "context": not recipe.context_names,
        "sharing": len(recipe.pair_tasks) < 2,
        "distillation": not recipe.training.distill,
    }
    return [part for part in PARTS if not absent.get(part, False)]


def outcome(recipe: Recipe, dataset: Dataset, text: NDArray[np.float32], seed: int, folder: Path) -> Samples:
    """One training from one seed, measured: what its figures are made of, of the lists and of each task."""
    recipe, record = recipe.changed({"training.seed": seed}), Record(folder)
    try:
        fitted = fit(recipe, dataset, text, record)
        found = evaluate(recipe, dataset, of_fitted(fitted))
        record.figures |= found.figures
    finally:
        record.close()
    return measured(recipe, fitted, found)


def measured(recipe: Recipe, fitted: Fitted, found: Evaluation) -> Samples:
    """The samples of an evaluation."""
    ranks = found.ranks["polyrank"]
    places, hits = np.arange(len(ranks)), (ranks < 10).astype(np.float64)
    served = {"ndcg@10": Sample.of("mean", gains(ranks), places), "hr@10": Sample.of("mean", hits, places)}
    return {SERVED: served} | task_samples(Objective(fitted.spec, recipe.pair_tasks), found.parts, found.said)


def differences(
    whole: Sequence[Samples], without: Sequence[Samples], generator: np.random.Generator
) -> dict[str, dict[str, float | str]]:
    """Figure → the whole's, that without a part, and their difference; both by seed."""
    found: dict[str, dict[str, float | str]] = {}
    for task, figures in whole[0].items():
        for figure in figures:
            pairs = [(one[task][figure], other[task][figure]) for one, other in zip(whole, without, strict=True)]
            what = paired(pairs, generator)
            said = what.verdict(figure != "rmse")
            found[f"{task} {figure}"] = {
                "whole": what.first, "without": what.second, "difference": what.value, "low": what.low,
                "high": what.high, "p": what.p, "seeds": float(len(pairs)), "verdict": SAID.get(said, said),
            }  # fmt: skip
    return found


def as_text(found: Figures) -> str:
    """The figures as a table for a terminal: a line a figure, a column a part; * marks what is more than chance."""
    parts, lines = list(found), []
    wide = max(len(name) for one in found.values() for name in one) + 2
    lines.append(f"{'':{wide}}{WHOLE:>9}" + "".join(f"{'no ' + part:>22}" for part in parts))
    for name, first in next(iter(found.values())).items():
        line = f"{name:{wide}}{first['whole']:>9.4f}"
        lines.append(line + "".join(f"{_cell(found[part][name]):>22}" for part in parts))
    return "\n".join(lines)


def _cell(one: Mapping[str, float | str]) -> str:
    mark = "*" if one["verdict"] in SAID.values() else " "
    return f"{one['without']:.4f} ({-float(one['difference']):+.4f}){mark}"
