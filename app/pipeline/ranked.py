"""One answer in arrays, as the engine hands it on; from here HTTP and batch go their own ways."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from app.pipeline.answer import AnsweredItem, Reason
from app.pipeline.vector import UserVector


@dataclass(frozen=True, slots=True)
class Ranked:
    """k items, best first; T tasks, none on the cheap path.

    scores float64 [k] · values float32 [k, T], calibrated · channels and, when asked for, reasons of each · `vector` is
    the user's as ranked with, None on the cheap path.
    """

    item_ids: tuple[str, ...]
    scores: NDArray[np.float64]
    values: NDArray[np.float32]
    channels: tuple[tuple[str, ...], ...]
    reasons: tuple[tuple[Reason, ...], ...] | None
    fallback: str | None
    vector: UserVector | None

    def __len__(self) -> int:
        return len(self.item_ids)


def answered_items(ranked: Ranked, tasks: Sequence[str]) -> tuple[AnsweredItem, ...]:
    """The list as it is answered; positions count from 0, and a list without chance has propensity 1."""
    if not ranked.item_ids:
        return ()
    scores, values = ranked.scores.tolist(), ranked.values.tolist()
    told = [dict(zip(tasks, of_one, strict=False)) for of_one in values]
    size = len(ranked)
    columns = (ranked.item_ids, scores, told, ranked.channels, range(size), repeat(1.0, size))
    return tuple(map(AnsweredItem, *columns, ranked.reasons or repeat(None, size)))
