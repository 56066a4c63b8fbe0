"""One ranker call for all candidates of a request, and each task's calibration."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.pipeline.stack import together
from model.bundle import Bundle
from model.features.ranking import Inputs, ItemTable, Moment, user_tower_inputs


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

    def values(self, inputs: Inputs) -> NDArray[np.float32]:
        """Calibrated outputs of all tasks for the candidates of one request, float32 [C, T]: the one ranker call."""
        if not inputs["candidate_features"].shape[1]:
            return np.empty((0, len(self._calibration)), np.float32)
        (logits,) = self.ranker.run(["logits"], inputs)
        return self.calibrated(logits[0])

    def values_of(self, asked: Sequence[Inputs]) -> list[NDArray[np.float32]]:
        """`values` of many requests, from one run for all."""
        some = [one for one in asked if one["candidate_features"].shape[1]]
        made = iter(together(self.ranker, "logits", some))
        return [
            self.calibrated(next(made)) if one["candidate_features"].shape[1] else self.values(one) for one in asked
        ]

    def calibrated(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Each task's probability or value, float32 [C, T], from what the ranker says [C, T]."""
        made = logits.copy()
        for place, one in enumerate(self._calibration):
            if one is not None:
                made[:, place] = one.apply(logits[:, place])
        return made
