"""What the service offers beside the channels of the spec: popular items, and fresh ones near the user.

A ranker that never saw them among its candidates does not know what their silence in all channels means, and puts them
first: on Amazon Beauty they took 73 of 100 places, with 30,000 examples to learn from.
"""

import numpy as np
from numpy.typing import NDArray

from model.features.counters import ItemCounters
from model.features.neighbours import Evidence
from model.features.ranking import ArrayItems
from model.features.spec import FeatureSpec

POPULAR, FRESH = 100, 50  # as the service's own lists (app.pipeline.settings)
EVERY = 100  # moments after which both are looked up again
POOL = 1_000  # newest items that are compared with the user, as in the service (app.pipeline.channels.fresh)
SPARE = 400  # popular items beyond the list, since a user has had some of them


class Beside:
    """Popular and fresh items as of counters that move on."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._window, self._asked = max(spec.half_lives, default=0.0), 0
        self._popular, self._fresh = np.empty(0, np.int64), np.empty(0, np.int64)

    def offers(
        self, counters: ItemCounters, vector: NDArray[np.float32], items: ArrayItems, allowed: NDArray[np.bool_]
    ) -> dict[str, Evidence]:
        """Both lists, of rows that `allowed` (bool [N]) holds; vector float32 [D] is the user's."""
        if self._asked % EVERY == 0:
            self._look(counters, len(allowed))
        self._asked += 1
        popular, fresh = (rows[allowed[rows]] for rows in (self._popular, self._fresh))
        ranks = -np.arange(min(len(popular), POPULAR), dtype=np.float32)
        near = Evidence.best(fresh, items.vector[fresh] @ vector, FRESH)
        return {"popular": Evidence(popular[:POPULAR], ranks), "fresh": near}

    def _look(self, counters: ItemCounters, size: int) -> None:
        popularity = counters.shares(np.arange(size)).mean(axis=1)
        self._popular = np.argsort(-popularity, kind="stable")[: POPULAR + SPARE]
        first = counters.first[:size]
        lately = np.flatnonzero((first >= counters.total_newest - self._window) & np.isfinite(first))
        self._fresh = lately[np.argsort(-first[lately], kind="stable")[:POOL]]
