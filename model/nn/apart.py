"""Tasks that share nothing: a ranker of its own for each, side by side as one network."""

import torch
from torch import Tensor, nn

from model.features.spec import FeatureSpec
from model.nn.heads import TaskValues
from model.nn.ranker import Ranker
from model.nn.settings import NetSettings


class Apart(Ranker):
    """What stands in the ranker's place when `sharing` is off: its calls, inputs and outputs, none of its layers."""

    def __init__(self, spec: FeatureSpec, settings: NetSettings) -> None:
        nn.Module.__init__(self)
        alone = [spec.model_copy(update={"tasks": (task,)}) for task in spec.tasks]
        self.rankers = nn.ModuleList(Ranker(one, settings) for one in alone)
        self.values = TaskValues(spec.tasks)

    def set_normalisation(self, user: tuple[Tensor, Tensor], candidate: tuple[Tensor, Tensor]) -> None:
        """As of `Ranker`, for all."""
        for ranker in self.each():
            ranker.set_normalisation(user, candidate)

    def raw(
        self,
        user_vector: Tensor,
        history_vectors: Tensor,
        history_types: Tensor,
        history_values: Tensor,
        history_gaps: Tensor,
        profile: Tensor,
        context: Tensor,
        user_features: Tensor,
        candidate_vectors: Tensor,
        candidate_features: Tensor,
    ) -> Tensor:
        """Raw readings [B, C, T], each task's by its own ranker."""
        events = (history_vectors, history_types, history_values, history_gaps)
        rest = (profile, context, user_features, candidate_vectors, candidate_features)
        return torch.cat([ranker.raw(user_vector, *events, *rest) for ranker in self.each()], dim=-1)

    def forward(
        self,
        user_vector: Tensor,
        history_vectors: Tensor,
        history_types: Tensor,
        history_values: Tensor,
        history_gaps: Tensor,
        profile: Tensor,
        context: Tensor,
        user_features: Tensor,
        candidate_vectors: Tensor,
        candidate_features: Tensor,
    ) -> Tensor:
        """Logits and values [B, C, T]: `raw`, read by kind of task."""
        events = (history_vectors, history_types, history_values, history_gaps)
        rest = (profile, context, user_features, candidate_vectors, candidate_features)
        values: Tensor = self.values(self.raw(user_vector, *events, *rest))
        return values

    def each(self) -> list[Ranker]:
        """The rankers, in the order of the tasks."""
        return [ranker for ranker in self.rankers if isinstance(ranker, Ranker)]
