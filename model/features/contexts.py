"""In which contexts items are met more than others: what daytime, place or device speak for or against an item."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.features.spec import FeatureSpec

PRIOR_EVENTS = 10.0  # pseudo-events of an item that is met in any context as often as its like, or all others
MOST_VALUES = 50  # values of a context column that are counted, the most frequent ones


@dataclass(frozen=True, slots=True)
class Contexts:
    """Of N items and the V values of X context columns, one column's behind the other's.

    lift float16 [V, N]: the log of how much more often an item's events happen there than all events do (so that a
    request reads one row a column) · starts int64 [X + 1]: where a column's values begin; its first stands for what is
    unknown and says nothing · usual float32 [V]: the share of all events that happen there.
    """

    lift: NDArray[np.float16]
    starts: NDArray[np.int64]
    usual: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        spec: FeatureSpec,
        attributes: NDArray[np.int32],
        rows: NDArray[np.int64],
        context: NDArray[np.int64],
    ) -> "Contexts":
        """Of a log's events: rows int64 [n] of items with attributes [N, A] (0-padded), context ids int64 [n, X].

        What is met seldom is taken for what other items with its attributes are.
        """
        sizes = [1 + min(len(column.values), MOST_VALUES) for column in spec.context]
        parts = [_lift(attributes, size, rows, context[:, place]) for place, size in enumerate(sizes)]
        usual = [_usual(size, context[:, place]) for place, size in enumerate(sizes)]
        nothing = np.zeros((0, len(attributes)), np.float16)
        none = np.zeros(0, np.float32)
        return cls(np.concatenate([nothing, *parts]), np.cumsum([0, *sizes]), np.concatenate([none, *usual]))

    def fill(self, rows: NDArray[np.int64], context: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """What a context (ids int64 [X]) says of items, into `out` float32 [C, X]; 0 for rows beyond the end."""
        starts, items = self.starts.tolist(), self.lift.shape[1]
        for column, (value, start, end) in enumerate(zip(context.tolist(), starts, starts[1:], strict=False)):
            counted = items and start + value < end
            out[:, column] = self.lift[start + value].take(rows, mode="clip") if counted else 0.0
        if rows.max(initial=0) >= items:
            out[rows >= items] = 0.0

    def usual_shares(self, asked: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of a context (ids int64 [X]): the share of all events with each value, 0 where it is unknown or never met."""
        places = self.starts[:-1] + asked
        return np.where(places < self.starts[1:], self.usual.take(places, mode="clip"), np.float32(0.0))

    def save(self, folder: Path) -> None:
        """Write the arrays as .npy files."""
        np.save(folder / "context_usual.npy", self.usual)
        np.save(folder / "context_lift.npy", self.lift)
        np.save(folder / "context_starts.npy", self.starts)

    @classmethod
    def open(cls, folder: Path) -> "Contexts | None":
        """Memory-map what a folder has of them, None where there is nothing."""
        if not (folder / "context_lift.npy").is_file():
            return None
        lift, starts = np.load(folder / "context_lift.npy", mmap_mode="r"), np.load(folder / "context_starts.npy")
        told = folder / "context_usual.npy"  # not in a bundle of before, whose ranker does not ask for it
        return cls(lift, starts, np.load(told) if told.is_file() else np.zeros(len(lift), np.float32))


def _lift(
    attributes: NDArray[np.int32], size: int, rows: NDArray[np.int64], ids: NDArray[np.int64]
) -> NDArray[np.float16]:
    """One column's part, [size, N]; 0 for what never happened, and for items that nothing happened with."""
    items, counted = len(attributes), (ids > 0) & (ids < size)
    met = np.bincount(rows[counted] * size + ids[counted], minlength=items * size).reshape(items, size)
    total, of_item = met.sum(axis=0), met.sum(axis=1, keepdims=True)
    usual = np.where(total > 0, total / max(total.sum(), 1), 1.0)
    expected = _expected(attributes, met.astype(np.float32), usual, total > 0)
    shares = (met + PRIOR_EVENTS * expected) / (of_item + PRIOR_EVENTS)
    known = (total > 0) & (of_item > 0)
    lift: NDArray[np.float16] = np.log(np.where(known, shares, usual) / usual).T.astype(np.float16)
    return lift


def _usual(size: int, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """The share of a column's known ids (below `size`) that each has, float32 [size]; its first, unknown, has none."""
    met = np.bincount(ids[(ids > 0) & (ids < size)], minlength=size)
    made: NDArray[np.float32] = (met / max(met.sum(), 1)).astype(np.float32)
    return made


def _expected(
    attributes: NDArray[np.int32], met: NDArray[np.float32], usual: NDArray[np.float64], known: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The shares of context values [N, size] that other items with an item's attributes lead to expect.

    usual float64 [size], and which values are known, bool [size].
    """
    groups = np.zeros((int(attributes.max(initial=0)) + 1, met.shape[1]), np.float32)
    for column in attributes.T:
        np.add.at(groups, column, met)
    told = np.zeros_like(met)
    for column in attributes.T:
        others = groups[column] - met
        shares = (others + PRIOR_EVENTS * usual) / (others.sum(axis=1, keepdims=True) + PRIOR_EVENTS)
        told += np.log(shares / usual) * (column > 0)[:, None]
    told /= np.maximum((attributes > 0).sum(axis=1), 1)[:, None]
    shares = usual * known * np.exp(told)
    made: NDArray[np.float32] = (shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return made
