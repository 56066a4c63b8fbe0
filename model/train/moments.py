"""A log's rows as moments: what was known of the user strictly before each, as left-padded windows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.data.log import ByUser, Log
from model.events import History
from model.features.ranking import scaled_values
from model.features.spec import FeatureSpec

PAD = -1


@dataclass(frozen=True, slots=True)
class Windows:
    """The newest L events before each of S moments, left-padded; all arrays are [S, L].

    rows int64 (item rows, PAD) · types int64 · values float32 in [0, 1] · gaps int64 (bucket of the time to the next
    event, for the newest one to the moment).
    """

    rows: NDArray[np.int64]
    types: NDArray[np.int64]
    values: NDArray[np.float32]
    gaps: NDArray[np.int64]


class Moments:
    """Histories of a log: by row, what its user had done before it. `timed` False hides when the moment was."""

    def __init__(self, spec: FeatureSpec, log: Log, users: int, timed: bool = True) -> None:
        self.spec, self.log, self.timed = spec, log, timed
        self.by_user: ByUser = log.by_user(users)
        self.place = np.empty(len(log), np.int64)  # of each row in its user's sequence
        self.place[self.by_user.places] = np.arange(len(log)) - np.repeat(
            self.by_user.indptr[:-1], np.diff(self.by_user.indptr)
        )

    def now(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Times of the moments; when hidden, that of the newest event before (NaN where there is none)."""
        if self.timed:
            return self.log.time[rows]
        source, real = self.sources(self.log.user[rows], self.place[rows], 1)
        return np.where(real[:, 0], self.log.time[source[:, 0]], np.nan)

    def history(self, row: int) -> History:
        """Everything the user had done before this row, oldest first."""
        before = self.by_user.rows(int(self.log.user[row]))[: self.place[row]]
        log = self.log
        return History(log.item[before], log.type[before], log.value[before], log.time[before])

    def windows(self, rows: NDArray[np.int64], length: int) -> Windows:
        """The newest `length` events before each of the log's `rows`."""
        return self.windows_at(self.log.user[rows], self.place[rows], self.now(rows), length)

    def sources(
        self, users: NDArray[np.int64], places: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of the log before place `places` of each user's sequence and whether they exist, both [S, length]."""
        back = places[:, None] - np.arange(length, 0, -1)
        real = back >= 0
        return self.by_user.places[np.where(real, self.by_user.indptr[users][:, None] + back, 0)], real

    def windows_at(
        self, users: NDArray[np.int64], places: NDArray[np.int64], now: NDArray[np.float64], length: int
    ) -> Windows:
        """The newest `length` of the first `places` events of each of `users`, read at `now` (NaN: unknown)."""
        source, real = self.sources(users, places, length)
        times = self.log.time[source]
        gaps = np.concatenate([times[:, 1:], now[:, None]], axis=1) - times
        return Windows(
            np.where(real, self.log.item[source], PAD),
            np.where(real, self.log.type[source], 0),
            np.where(real, scaled_values(self.spec, self.log.value[source]), 0.0).astype(np.float32),
            np.where(real, self.spec.gap_ids(gaps), 0),
        )
