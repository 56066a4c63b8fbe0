"""What happened: one feedback event, and a user's history as the model reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Event:
    """One feedback event as it was accepted.

    `timestamp` is epoch seconds (UTC). `user` is a user id, or a session id when the event had no user.
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


@dataclass(frozen=True, slots=True)
class History:
    """A user's newest events in row space, oldest first; all arrays have length L.

    rows int64 (item rows, never negative) · types int64 (event type id, ≥ 1) · values float32 (NaN: none) ·
    times float64 (epoch seconds, NaN: unknown).
    """

    rows: NDArray[np.int64]
    types: NDArray[np.int64]
    values: NDArray[np.float32]
    times: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    def last(self, count: int) -> "History":
        """The newest `count` events."""
        start = max(len(self) - count, 0)
        return History(self.rows[start:], self.types[start:], self.values[start:], self.times[start:])

    def then(self, other: "History") -> "History":
        """This history followed by another one."""
        return History(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.types, other.types]),
            np.concatenate([self.values, other.values]),
            np.concatenate([self.times, other.times]),
        )

    @classmethod
    def of(
        cls,
        rows: Sequence[int] | NDArray[np.int64] = (),
        types: Sequence[int] | NDArray[np.int64] = (),
        values: Sequence[float] | NDArray[np.float32] = (),
        times: Sequence[float] | NDArray[np.float64] = (),
    ) -> "History":
        """A history from plain sequences of one length."""
        made = cls(
            np.asarray(rows, np.int64),
            np.asarray(types, np.int64),
            np.asarray(values, np.float32),
            np.asarray(times, np.float64),
        )
        sizes = {len(made.rows), len(made.types), len(made.values), len(made.times)}
        if len(sizes) != 1:
            raise ValueError(f"history columns: found lengths {sorted(sizes)}; give arrays of one length")
        return made
