"""In which contexts items are met more than others: what daytime, place or device speak for or against an item."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.features.spec import FeatureSpec

PRIOR_EVENTS = 10.0  # pseudo-events of an item that is met in any context as often as all others
MOST_VALUES = 50  # values of a context column that are counted, the most frequent ones


@dataclass(frozen=True, slots=True)
class Contexts:
    """Of N items and the V values of X context columns, one column's behind the other's.

    lift float32 [N, V]: the log of how much more often an item's events happen there than all events do · starts int64
    [X + 1]: where a column's values begin; its first stands for what is unknown and says nothing.
    """

    lift: NDArray[np.float32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, spec: FeatureSpec, items: int, rows: NDArray[np.int64], context: NDArray[np.int64]) -> "Contexts":
        """Of a log's events: rows int64 [n] of N items, context ids int64 [n, X]."""
        sizes = [1 + min(len(column.values), MOST_VALUES) for column in spec.context]
        parts = [_lift(items, size, rows, context[:, place]) for place, size in enumerate(sizes)]
        return cls(np.concatenate([np.zeros((items, 0), np.float32), *parts], axis=1), np.cumsum([0, *sizes]))

    def fill(self, rows: NDArray[np.int64], context: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """What a context (ids int64 [X]) says of items, into `out` float32 [C, X]; 0 for rows beyond the end."""
        known = np.flatnonzero(rows < len(self.lift))
        counted = np.where(context < np.diff(self.starts), context, 0)
        out[:] = 0.0
        out[known] = self.lift[rows[known, None], self.starts[:-1] + counted]

    def save(self, folder: Path) -> None:
        """Write both arrays as .npy files."""
        np.save(folder / "context_lift.npy", self.lift)
        np.save(folder / "context_starts.npy", self.starts)

    @classmethod
    def open(cls, folder: Path) -> "Contexts | None":
        """Memory-map what a folder has of them, None where there is nothing."""
        if not (folder / "context_lift.npy").is_file():
            return None
        return cls(np.load(folder / "context_lift.npy", mmap_mode="r"), np.load(folder / "context_starts.npy"))


def _lift(items: int, size: int, rows: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """One column's part, [items, size]."""
    counted = (ids > 0) & (ids < size)
    met = np.bincount(rows[counted] * size + ids[counted], minlength=items * size).reshape(items, size)
    usual = met.sum(axis=0) / max(met.sum(), 1)
    usual = np.where(usual > 0, usual, 1.0)
    shares = (met + PRIOR_EVENTS * usual) / (met.sum(axis=1, keepdims=True) + PRIOR_EVENTS)
    never = met.sum(axis=0) == 0
    lift: NDArray[np.float32] = np.where(never, 0.0, np.log(shares / usual)).astype(np.float32)
    return lift
