"""What happened: one feedback event, and a user's history as the model reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Event:
    """One feedback event as it was accepted.

    `timestamp` is epoch seconds (UTC). `user` is a user id, or a session id when the event had no user. Where `target`
    is "user" the event links people, and `item_id` is the other user's id.
    """

    event_id: str
    type: str
    user: str
    item_id: str
    timestamp: float
    value: float | None = None
    session_id: str | None = None
    recommendation_id: str | None = None
    context: Mapping[str, str | float | bool] = field(default_factory=dict)
    target: str = "item"


@dataclass(frozen=True, slots=True)
class History:
    """A user's newest events in row space, oldest first; all arrays have length L.

    rows int64 (item rows, never negative) · types int64 (event type id, ≥ 1) · values float32 (NaN: none) ·
    times float64 (epoch seconds, NaN: unknown) · contexts int64 [L, X] (ids, 0: unknown; X is 0 where nothing is told).
    """

    rows: NDArray[np.int64]
    types: NDArray[np.int64]
    values: NDArray[np.float32]
    times: NDArray[np.float64]
    contexts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def last(self, count: int) -> "History":
        """The newest `count` events."""
        start = max(len(self) - count, 0)
        return self.at(slice(start, None)) if start else self

    def at(self, which: slice | NDArray[np.bool_] | NDArray[np.int64]) -> "History":
        """Some of the events: a slice, a mask or places in the order wanted."""
        return History(self.rows[which], self.types[which], self.values[which], self.times[which], self.contexts[which])

    def then(self, other: "History") -> "History":
        """This history followed by another one; where only one tells contexts, those of the other are unknown."""
        width = max(self.contexts.shape[1], other.contexts.shape[1])
        return History(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.types, other.types]),
            np.concatenate([self.values, other.values]),
            np.concatenate([self.times, other.times]),
            np.concatenate([_widened(one.contexts, width) for one in (self, other)]),
        )

    @classmethod
    def of(
        cls,
        rows: Sequence[int] | NDArray[np.int64] = (),
        types: Sequence[int] | NDArray[np.int64] = (),
        values: Sequence[float] | NDArray[np.float32] = (),
        times: Sequence[float] | NDArray[np.float64] = (),
        contexts: Sequence[Sequence[int]] | NDArray[np.int64] | None = None,
    ) -> "History":
        """A history from plain sequences of one length."""
        made = cls(
            np.asarray(rows, np.int64),
            np.asarray(types, np.int64),
            np.asarray(values, np.float32),
            np.asarray(times, np.float64),
            np.zeros((len(rows), 0), np.int64) if contexts is None else np.asarray(contexts, np.int64),
        )
        sizes = {len(made.rows), len(made.types), len(made.values), len(made.times), len(made.contexts)}
        if len(sizes) != 1:
            raise ValueError(f"history columns: found lengths {sorted(sizes)}; give arrays of one length")
        return made


def _widened(contexts: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Contexts [L, X] with `width` columns: either its own, or as many unknown ones where it has none."""
    return contexts if contexts.shape[1] == width else np.zeros((len(contexts), width), np.int64)
