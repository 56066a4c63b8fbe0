"""Examples of the pair tasks: labelled rows of the log and the impressions, with sampled negatives beside them."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from model.config import Recipe
from model.data.log import Dataset, Log
from model.data.negatives import pair_keys, sample_negatives


@dataclass(frozen=True, slots=True)
class Examples:
    """Pairs at a moment, in the log's order: the row itself, then its negatives.

    user, item int64 [n] · time float64 [n] · order int64 [n]: what the user knows is what has a smaller one · context
    int64 [n, X'] · labels float32 [n, T] (NaN: unlabelled) · negative bool [n]: sampled, not logged.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    time: NDArray[np.float64]
    order: NDArray[np.int64]
    context: NDArray[np.int64]
    labels: NDArray[np.float32]
    negative: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: NDArray[np.int64]) -> "Examples":
        """Some of the examples, in the order given."""
        return Examples(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


def build_examples(recipe: Recipe, dataset: Dataset, parts: tuple[int, ...], rng: np.random.Generator) -> Examples:
    """The examples of some parts. A task's negatives copy user, moment and context of its positives; their label is 0.

    A negative is an item the user has no event with up to the last of `parts`: what comes later is not known yet.
    """
    logs = [dataset.log.part(*parts), dataset.impressions.part(*parts)]
    logged = [_logged(log) for log in logs]
    known = dataset.log.take(dataset.log.split <= max(parts))
    seen = pair_keys(known.user, known.item, len(dataset.items))
    sampled = [
        _negatives(logs[0], column, task.negatives, seen, len(dataset.items), rng)
        for column, task in enumerate(recipe.pair_tasks)
        if task.negatives
    ]
    whole = _joined([*logged, *sampled])
    keep = np.logical_not(np.all(np.isnan(whole.labels), axis=1))
    order = np.lexsort((whole.negative, whole.order))
    return whole.take(order[keep[order]])


def _logged(log: Log) -> Examples:
    return Examples(log.user, log.item, log.time, log.order, log.context, log.labels, np.zeros(len(log), bool))


def _negatives(
    log: Log, column: int, count: int, seen: NDArray[np.int64], items: int, rng: np.random.Generator
) -> Examples:
    """`count` negatives for each positive of one task, labelled for this task only."""
    positive = log.take(np.repeat(np.flatnonzero(log.labels[:, column] == 1), count))
    drawn = sample_negatives(positive.user, seen, items, 1, rng)[:, 0]
    labels = np.full_like(positive.labels, np.nan)
    labels[:, column] = 0.0
    made = Examples(
        positive.user, drawn, positive.time, positive.order, positive.context, labels, np.ones(len(drawn), bool)
    )
    return made.take(np.flatnonzero(drawn >= 0))


def _joined(some: list[Examples]) -> Examples:
    return Examples(
        **{one.name: np.concatenate([getattr(part, one.name) for part in some]) for one in fields(Examples)}
    )
