"""What each task's figure is made of, so that two models can be compared on the same slates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.train.metrics import gains
from model.train.rank import Objective, flattened, list_ranks
from model.train.significance import Figure, Sample
from model.train.slates import Slates

Samples = dict[str, dict[str, Sample]]


def task_samples(objective: Objective, parts: Sequence[Slates], said: Sequence[NDArray[np.float32]]) -> Samples:
    """Task → figure → its sample: NDCG@10 of tasks that order lists, AUC of binary ones, RMSE of values.

    said: what a model gives for each part's candidates, float32 [S, C, T] each. Slates are what is drawn again.
    """
    (labels, values), group = flattened(objective, parts, said), slate_numbers(parts)
    found: Samples = {}
    for place, task in enumerate(objective.spec.tasks):
        figures = {"ndcg@10": list_sample(parts, said, place)} if place in objective.lists else {}
        known = ~np.isnan(labels[:, place])
        if task.kind != "next_item" and known.any():
            figure: Figure = "auc" if task.kind == "binary" else "rmse"
            figures[figure] = Sample.of(figure, values[known, place], group[known], labels[known, place])
        found[task.name] = figures
    return found


def slate_numbers(parts: Sequence[Slates]) -> NDArray[np.int64]:
    """Which slate each candidate of all parts is of, flattened as by `rank.flattened`; int64 [n]."""
    sizes = [part.candidates.shape for part in parts]
    starts = np.cumsum([0, *(count for count, _ in sizes)])
    numbers = [np.repeat(start + np.arange(count), width) for start, (count, width) in zip(starts, sizes, strict=False)]
    return np.concatenate([np.empty(0, np.int64), *numbers])


def list_sample(parts: Sequence[Slates], said: Sequence[NDArray[np.float32]], place: int) -> Sample:
    """NDCG@10 of one task's readings, slate by slate."""
    ranks = [list_ranks(part, one[..., place]) for part, one in zip(parts, said, strict=True)]
    made = gains(np.concatenate(ranks))
    return Sample.of("mean", made, np.arange(len(made)))
