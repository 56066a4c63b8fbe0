"""Heads of the side tasks: what an item's or a user's vector should know besides whom it suits."""

from torch import Tensor, nn

from model.features.spec import FeatureSpec


class SideHeads(nn.Module):
    """Linear readings of the towers' vectors; used in training only, never exported."""

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        self.attributes = nn.Linear(spec.dim, spec.attribute_vocabulary)
        self.profile = nn.Linear(spec.dim, spec.profile_vocabulary)
        self.context = nn.ModuleList(nn.Linear(spec.dim, len(column.values) + 1) for column in spec.context)

    def attribute_logits(self, items: Tensor) -> Tensor:
        """Logits of every attribute id, [..., V], of item vectors [..., D] made without their attributes."""
        logits: Tensor = self.attributes(items)
        return logits

    def profile_logits(self, users: Tensor) -> Tensor:
        """Logits of every profile id, [..., V], of user vectors [..., D] made without their profile."""
        logits: Tensor = self.profile(users)
        return logits

    def context_logits(self, users: Tensor) -> list[Tensor]:
        """Logits of each context column's ids, of user vectors [..., D] made without their context."""
        return [column(users) for column in self.context]
