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
        """The recall vector of one user, float32 [D]."""
        return self.user_vectors([(moment, items)])[0]

    def user_vectors(self, asked: Sequence[tuple[Moment, ItemTable]]) -> list[NDArray[np.float32]]:
        """Users' recall vectors, each float32 [D], from one run."""
        return together(self.tower, "user_vector", [user_tower_inputs(self._spec, *one) for one in asked])

    def values(self, inputs: Inputs) -> NDArray[np.float32]:
        """Calibrated outputs of all tasks for the candidates of B requests, float32 [B, C, T], from one run."""
        users, candidates, _ = inputs["candidate_features"].shape
        if not candidates:
            return np.empty((users, 0, len(self._calibration)), np.float32)
        (logits,) = self.ranker.run(["logits"], inputs)
        return self.calibrated(logits)

    def calibrated(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Each task's probability or value, float32 [..., T], from what the ranker says [..., T]."""
        made = logits.copy()
        for place, one in enumerate(self._calibration):
            if one is not None:
                made[..., place] = one.apply(logits[..., place])
        return made
