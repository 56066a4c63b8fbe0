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
    """Rows of a log as moments, and the histories of a log of events: by row, what its user had done before it.

    `log` holds the rows that are asked about: the events themselves, or `asked`, rows that are none. `timed` False
    hides when the moment was; when it is known, what happened at the same instant is not yet history, as in service.
    `contexts`: ids [n, X] of the contexts of `events`, None where nothing is told.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        events: Log,
        users: int,
        timed: bool = True,
        asked: Log | None = None,
        contexts: NDArray[np.int64] | None = None,
    ) -> None:
        self.spec, self.timed = spec, timed
        self.contexts = np.zeros((len(events), 0), np.int64)
        if spec.own_contexts and contexts is not None:
            self.contexts = contexts
        self.events, self.by_user = events, events.by_user(users)
        self.log = events if asked is None else asked
        self.place = places_before(self.by_user, self.log, timed)  # int64 [n]: events of the row's user before it

    def now(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Times of the moments; when hidden, that of the newest event before (NaN where there is none)."""
        if self.timed:
            return self.log.time[rows]
        source, real = self.sources(self.log.user[rows], self.place[rows], 1)
        if not len(self.events):
            return np.full(len(rows), np.nan)
        return np.where(real[:, 0], self.events.time[source[:, 0]], np.nan)

    def history(self, row: int) -> History:
        """Everything the user had done before this row, oldest first."""
        before = self.by_user.rows(int(self.log.user[row]))[: self.place[row]]
        events = self.events
        told = events.item[before], events.type[before], events.value[before], events.time[before]
        return History(*told, self.contexts[before])

    def had(self, row: int) -> NDArray[np.int64]:
        """Rows of the items that are in no list at this row's moment, since the user has had them."""
        return self.history(row).rows

    def onwards(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """For each of some of the log's rows: itself and its user's others of then or later."""
        log = self.log
        order = np.lexsort((log.order, log.user))
        rank = np.unique(log.order, return_inverse=True)[1]
        wide = int(rank.max(initial=0)) + 1
        keys = (log.user * wide + rank)[order]
        starts = np.searchsorted(keys, log.user[rows] * wide + rank[rows])
        ends = np.searchsorted(keys, (log.user[rows] + 1) * wide)
        return [order[start:end] for start, end in zip(starts, ends, strict=True)]

    def windows(self, rows: NDArray[np.int64], length: int) -> Windows:
        """The newest `length` events before each of the log's `rows`."""
        return self.windows_at(self.log.user[rows], self.place[rows], self.now(rows), length)

    def sources(
        self, users: NDArray[np.int64], places: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of the events before place `places` of each user's sequence and whether they exist, both [S, length]."""
        back = places[:, None] - np.arange(length, 0, -1)
        real = back >= 0
        return self.by_user.places[np.where(real, self.by_user.indptr[users][:, None] + back, 0)], real

    def windows_at(
        self, users: NDArray[np.int64], places: NDArray[np.int64], now: NDArray[np.float64], length: int
    ) -> Windows:
        """The newest `length` of the first `places` events of each of `users`, read at `now` (NaN: unknown)."""
        source, real = self.sources(users, places, length)
        events = self.events
        times = events.time[source]
        gaps = np.concatenate([times[:, 1:], now[:, None]], axis=1) - times
        return Windows(
            np.where(real, events.item[source], PAD),
            np.where(real, events.type[source], 0),
            np.where(real, scaled_values(self.spec, events.value[source]), 0.0).astype(np.float32),
            np.where(real, self.spec.gap_ids(gaps), 0),
        )


def places_before(by_user: ByUser, asked: Log, strictly: bool) -> NDArray[np.int64]:
    """How many events of its user came before each row of `asked`, int64 [n].

    Before means earlier in time when `strictly` (and all times are known), else earlier in the order of all rows.
    """
    events = by_user.log
    timed = strictly and not np.isnan(events.time).any() and not np.isnan(asked.time).any()
    of_events, of_asked = (log.time if timed else log.order for log in (events, asked))
    _, rank = np.unique(np.concatenate([of_events, of_asked]), return_inverse=True)
    wide = int(rank.max(initial=0)) + 1
    keys = events.user[by_user.places] * wide + rank[: len(events)][by_user.places]
    return np.searchsorted(keys, asked.user * wide + rank[len(events) :]) - by_user.indptr[asked.user]
