"""Item counters: decayed event counts and mean values, the same arithmetic from the log and from the live stream.

A count with half-life h at time t is Σ_k 2^(-(t - t_k)/h) over the item's events k before t. Each event costs O(1):
the item's counts are brought forward to the newest time seen and one is added; a late event adds its part as already
decayed, so the result does not depend on the order of arrival. The last window never decays. What the ranker reads are
*shares* of the catalogue's total: while nothing happens all counts decay alike, so a share does not drift with the
clock, and it is evaluated at the newest event's time, where nothing underflows.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.features import kernels
from model.features.contexts import Contexts

PRIOR_EVENTS = 5.0  # pseudo-events of the catalogue's mean in a smoothed mean value
PRIOR_COUNT = 1.0  # pseudo-count of an average item in a share


@dataclass(slots=True)
class ItemCounters:
    """Counts of every item.

    counts float64 [N, E, W] as of `newest` · newest float64 [N], -inf before the first event · value_sum, value_count
    float64 [N] · first float64 [N] (time of first event, +inf: none) · total float64 [E, W] as of `total_newest`.
    E event types, W windows = half-lives and one undecayed.
    """

    half_lives: NDArray[np.float64]
    counts: NDArray[np.float64]
    newest: NDArray[np.float64]
    first: NDArray[np.float64]
    value_sum: NDArray[np.float64]
    value_count: NDArray[np.float64]
    total: NDArray[np.float64]
    total_newest: float = -np.inf
    contexts: Contexts | None = field(default=None, compare=False)  # as of the log's end: they do not move
    _values: tuple[float, float] | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def empty(cls, items: int, event_types: int, half_lives: tuple[float, ...]) -> "ItemCounters":
        """All zero, for `items` rows."""
        windows = np.asarray([*half_lives, np.inf])
        shape = (items, event_types, len(windows))
        return cls(
            windows,
            np.zeros(shape),
            np.full(items, -np.inf),
            np.full(items, np.inf),
            np.zeros(items),
            np.zeros(items),
            np.zeros(shape[1:]),
        )

    def __len__(self) -> int:
        return len(self.newest)

    def grow(self, items: int) -> None:
        """Make room for rows added at run time, up to `items`."""
        more = items - len(self)
        if more <= 0:
            return
        fresh = ItemCounters.empty(more, self.counts.shape[1], tuple(self.half_lives[:-1]))
        self.counts = np.concatenate([self.counts, fresh.counts])
        self.newest = np.concatenate([self.newest, fresh.newest])
        self.first = np.concatenate([self.first, fresh.first])
        self.value_sum = np.concatenate([self.value_sum, fresh.value_sum])
        self.value_count = np.concatenate([self.value_count, fresh.value_count])

    def add(self, row: int, type_id: int, time: float, value: float = np.nan) -> None:
        """Count one event; `time` NaN (an untimed log) counts in the undecayed window only."""
        if np.isnan(time):
            self.counts[row, type_id - 1, -1] += 1
            self.total[type_id - 1, -1] += 1
        else:
            _add(self.counts[row], type_id, time, self.newest[row], self.half_lives)
            _add(self.total, type_id, time, self.total_newest, self.half_lives)
            self.newest[row] = max(self.newest[row], time)
            self.first[row] = min(self.first[row], time)
            self.total_newest = max(self.total_newest, time)
        if not np.isnan(value):
            self.value_sum[row] += value
            self.value_count[row] += 1
            if self._values is not None:
                self._values = self._values[0] + value, self._values[1] + 1

    def columns(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What ranking reads of items, float32 [len(rows), E · W + E + 1]: their shares, rates and age.

        share: log of (smoothed share of the catalogue's total × number of items), 0 for an average item · rate: log of
        (smoothed share of a type among an item's events ÷ the catalogue's): how often those who met an item went on to
        like or buy it, say, whatever its popularity · age: log(1 + hours from an item's first event to the newest event
        of all) / 10, 0 if it has none. Every column is a logarithm, so all are taken at once.
        """
        made = np.empty((len(rows), self.width), np.float32)
        self.fill(rows, made)
        return made

    @property
    def width(self) -> int:
        """How many `columns` there are."""
        return int(self.total.size) + len(self.total) + 1

    def fill(self, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Write `columns` into `out` float32 [len(rows), width]."""
        known = (self.counts, self.newest, self.first, self.half_lives, self.total)
        kernels.counted(rows, *known, self._now(), PRIOR_COUNT, PRIOR_EVENTS, out)

    def _now(self) -> float:
        """The newest event's time; any before the first one, since nothing has happened whose age could be read."""
        return self.total_newest if np.isfinite(self.total_newest) else 0.0

    def shares(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The shares of `columns`, float32 [len(rows), E · W]."""
        return self.columns(rows)[:, : self.total.size]

    def fill_values(self, rows: NDArray[np.int64], low: float, high: float, out: NDArray[np.float32]) -> None:
        """Each item's smoothed mean event value on a scale from low to high, into `out` float32 [len(rows), 1].

        0 is low, 1 high, and 0.5 all there is to say when the log has no values at all.
        """
        total, count = self._all_values()
        prior = total / count if count else np.nan
        kernels.valued(rows, self.value_sum, self.value_count, prior, PRIOR_EVENTS, low, high, out)

    def leanings(
        self,
        rows: NDArray[np.int64],
        values: NDArray[np.float32],
        scale: tuple[float, float],
        recent: float,
        pseudo: float,
        own: NDArray[np.float32],
    ) -> tuple[float, float]:
        """How far a user's values of items lie above what others think (kernels.leanings); `scale`: low, high."""
        total, count = self._all_values()
        prior = total / count if count else np.nan
        known = (self.value_sum, self.value_count, prior, PRIOR_EVENTS)
        return kernels.leanings(values, rows, *known, *scale, recent, pseudo, own)

    def _all_values(self) -> tuple[float, float]:
        """Sum and number of all event values: added up once: the catalogue is too long for every request."""
        if self._values is None:
            self._values = float(self.value_sum.sum()), float(self.value_count.sum())
        return self._values

    def save(self, folder: Path) -> None:
        """Write the arrays as .npy files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("half_lives", "counts", "newest", "first", "value_sum", "value_count", "total"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        np.save(folder / "total_newest.npy", np.asarray(self.total_newest))
        if self.contexts is not None and self.contexts.lift.size:
            self.contexts.save(folder)

    @classmethod
    def open(cls, folder: Path) -> "ItemCounters":
        """Read the arrays; they are copied, since the service counts on (all but those of the contexts)."""
        names = ("half_lives", "counts", "newest", "first", "value_sum", "value_count", "total")
        arrays = {name: np.load(folder / f"{name}.npy") for name in names}
        newest = float(np.load(folder / "total_newest.npy"))
        return cls(**arrays, total_newest=newest, contexts=Contexts.open(folder))


def _add(
    counts: NDArray[np.float64], type_id: int, time: float, newest: float, half_lives: NDArray[np.float64]
) -> None:
    """Add one event at `time` to counts [E, W] that stand as of `newest`, in place."""
    if time >= newest:
        counts *= np.exp2(-(time - newest) / half_lives) if np.isfinite(newest) else 1.0
        counts[type_id - 1] += 1.0
    else:
        counts[type_id - 1] += np.exp2(-(newest - time) / half_lives)
