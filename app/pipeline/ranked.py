"""One answer in arrays, as the engine hands it on; from here HTTP and batch go their own ways."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    reasons = ranked.reasons or (None,) * len(ranked)
    columns = zip(
        ranked.item_ids, ranked.scores.tolist(), ranked.values.tolist(), ranked.channels, reasons, strict=True
    )
    return tuple(
        AnsweredItem(item_id, score, dict(zip(tasks, values, strict=False)), channels, position, 1.0, why)
        for position, (item_id, score, values, channels, why) in enumerate(columns)
    )
