"""How a user values items beside what others do, and what that says of items near them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.events import History
from model.features.counters import ItemCounters
from model.features.spec import FeatureSpec

RECENT = 0.9  # weight of an event, relative to the next newer one, in what a user did recently
TASTE_EVENTS = 200  # newest events whose vectors make a taste: it lasts longer than what the user tower reads
PRIOR_OWN = 2.0  # pseudo-events of one who values items as others do, in how far a user lies above them


class Echoes(Protocol):
    """What says how a user's leanings towards items echo in others: an item → item table, or one seen otherwise."""

    def echoed(
        self,
        rows: NDArray[np.int64],
        values: NDArray[np.float32],
        own: NDArray[np.float32],
        candidates: NDArray[np.int64],
        out: NDArray[np.float32],
    ) -> None:
        """What leanings (their rows, values and own, [L]) say of candidates int64 [C], into `out` float32 [C, 2]."""
        ...


@dataclass(frozen=True, slots=True)
class Leanings:
    """How a user values items beside what others do.

    above, recently: how far the user's values lie above their items' means, all and the newest · of the newest events:
    rows int64 [L], values float32 [L] (NaN: none) · own float32 [L]: what is left of each value then (0 where it has
    none): that this item was liked more than the user likes others, and more than others like it.
    """

    above: float
    recently: float
    rows: NDArray[np.int64]
    values: NDArray[np.float32]
    own: NDArray[np.float32]

    @classmethod
    def of(cls, spec: FeatureSpec, history: History, counters: ItemCounters) -> "Leanings":
        """Those of a history; what items are worth is what counters say now."""
        newest = history.last(max(TASTE_EVENTS, spec.history_length))
        own = np.empty(len(newest), np.float32)
        scale = (spec.value_low, spec.value_high)
        above, recently = counters.leanings(newest.rows, newest.values, scale, RECENT, PRIOR_OWN, own)
        return cls(above, recently, newest.rows, newest.values, own)
