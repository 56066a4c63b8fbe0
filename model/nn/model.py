"""All networks of one domain, with the few calls that training and export make on them."""

from collections.abc import Mapping

from torch import Tensor, nn

from model.features.spec import FeatureSpec
from model.nn.ranker import Ranker
from model.nn.settings import NetSettings
from model.nn.towers import ItemTower, UserTower


class MultiTaskModel(nn.Module):
    """Item tower, user tower and ranker over one spec."""

    def __init__(self, spec: FeatureSpec, items: int, settings: NetSettings | None = None) -> None:
        super().__init__()
        self.spec, self.items = spec, items
        self.settings = settings or NetSettings()
        self.item_tower = ItemTower(spec, items, self.settings)
        self.user_tower = UserTower(spec, self.settings)
        self.ranker = Ranker(spec, self.settings)

    def rank(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Raw readings [B, C, T]."""
        return self.ranker.raw(**inputs)
