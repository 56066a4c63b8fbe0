"""Point in time: histories and counters as they stood just before each moment of a list of pairs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.batch.log import EventLog
from app.pipeline.user import before
from model.bundle import Bundle
from model.events import History
from model.features.counters import ItemCounters
from model.ids import NO_ROW


@dataclass(frozen=True, slots=True)
class Timeline:
    """A log's events in order of time, in rows of the catalogue; events of items it does not hold are left out."""

    rows: NDArray[np.int64]
    types: NDArray[np.int64]
    values: NDArray[np.float32]
    times: NDArray[np.float64]

    @classmethod
    def of(cls, log: EventLog, rows: NDArray[np.int64]) -> "Timeline":
        """The timeline of a log whose items lie at catalogue `rows`."""
        found = rows[log.items]
        kept = found != NO_ROW
        return cls(found[kept], log.types[kept], log.values[kept], log.times[kept])


class Replay:
    """Counters that follow a timeline; moments must come in order of time.

    A log that starts after the bundle's ends is counted on top of the bundle's; any other one is taken for the whole
    log, so that no row knows its future through the bundle.
    """

    def __init__(self, counters: ItemCounters, timeline: Timeline) -> None:
        self.counters, self._timeline, self._at = counters, timeline, 0

    @classmethod
    def over(cls, bundle: Bundle, timeline: Timeline, items: int) -> "Replay":
        """A replay for a catalogue of `items` rows."""
        told, spec = bundle.counters(), bundle.spec
        added = not len(timeline.times) or timeline.times[0] > told.total_newest
        counters = told if added else ItemCounters.empty(items, len(spec.event_types), spec.half_lives)
        counters.contexts = told.contexts
        counters.grow(items)
        return cls(counters, timeline)

    def until(self, now: float) -> None:
        """Count every event strictly before `now`; all of them when it is NaN."""
        line = self._timeline
        end = len(line.times) if np.isnan(now) else int(np.searchsorted(line.times, now))
        for place in range(self._at, end):
            time, value = float(line.times[place]), float(line.values[place])
            self.counters.add(int(line.rows[place]), int(line.types[place]), time, value)
        self._at = max(self._at, end)


class Histories:
    """A user's history before a moment: from the log where it holds the user, else from the bundle."""

    def __init__(self, bundle: Bundle, given: Mapping[str, History]) -> None:
        self._bundle, self._given = bundle, given

    def at(self, user_id: str, now: float) -> History:
        """Everything strictly before `now`, all of it when `now` is NaN; empty for an unknown user."""
        history = self._given.get(user_id)
        if history is None:
            row = self._bundle.users.row(user_id)
            history = History.of() if row == NO_ROW else self._bundle.user_history(row)
        return before(history, now)
