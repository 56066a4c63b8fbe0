"""One ranker call for all candidates of a request, and each task's calibration."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from model.bundle import Bundle
from model.features.counters import ItemCounters
from model.features.neighbours import Evidence
from model.features.ranking import ItemTable, Moment, ranker_inputs, user_tower_inputs


class Networks:
    """The two graphs that run on every request, with the features they read."""

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        self._spec = bundle.spec
        self.tower, self.ranker = bundle.session("user_tower", 1, device), bundle.session("ranker", 1, device)
        self._calibration = [bundle.manifest.calibration.get(task.name) for task in bundle.spec.tasks]

    def user_vector(self, moment: Moment, items: ItemTable) -> NDArray[np.float32]:
        """The user's recall vector, float32 [D]."""
        (vectors,) = self.tower.run(["user_vector"], user_tower_inputs(self._spec, moment, items))
        vector: NDArray[np.float32] = vectors[0]
        return vector

    def values(
        self,
        moment: Moment,
        vector: NDArray[np.float32],
        rows: NDArray[np.int64],
        evidence: Mapping[str, Evidence],
        items: ItemTable,
        counters: ItemCounters,
    ) -> NDArray[np.float32]:
        """Calibrated outputs of all tasks for candidate rows, float32 [C, T]."""
        inputs = ranker_inputs(self._spec, moment, vector, rows, evidence, items, counters)
        (logits,) = self.ranker.run(["logits"], inputs)
        return self.calibrated(logits[0])

    def calibrated(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Each task's probability or value, float32 [C, T], from what the ranker says [C, T]."""
        made = logits.copy()
        for place, one in enumerate(self._calibration):
            if one is not None:
                made[:, place] = one.apply(logits[:, place])
        return made
