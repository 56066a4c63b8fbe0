"""Tasks that share nothing: a ranker of its own for each, side by side as one network."""

import torch
from torch import Tensor, nn

from model.features.spec import FeatureSpec
from model.nn.heads import TaskValues, with_chains
from model.nn.ranker import Ranker, Shared
from model.nn.settings import NetSettings


class Apart(Ranker):
    """What stands in the ranker's place when `sharing` is off: its calls, inputs and outputs, none of its layers."""

    def __init__(self, spec: FeatureSpec, settings: NetSettings) -> None:
        nn.Module.__init__(self)
        single = [task.model_copy(update={"after": None}) for task in spec.tasks]  # chains are joined below, for all
        alone = [spec.model_copy(update={"tasks": (task,)}) for task in single]
        self.rankers = nn.ModuleList(Ranker(one, settings) for one in alone)
        self.values, self.chains = TaskValues(spec.tasks), spec.chains()

    def measure(self, user: Tensor, candidate: Tensor) -> None:
        """As of `Ranker`, for all."""
        for ranker in self.each():
            ranker.measure(user, candidate)

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
        return with_chains(torch.cat([one.raw(user_vector, *events, *rest) for one in self.each()], -1), self.chains)

    def shared(self) -> Shared:
        """Nothing is: every parameter moves for one task, so strategies that look for conflicts find none."""
        named = dict(self.named_parameters())
        return Shared(list(named.values()), [one for name, one in named.items() if ".experts." in name])

    def each(self) -> list[Ranker]:
        """The rankers, in the order of the tasks."""
        return [ranker for ranker in self.rankers if isinstance(ranker, Ranker)]
