"""All networks of one domain, with the few calls that training and export make on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.features.spec import FeatureSpec
from model.nn.apart import Apart
from model.nn.graph import NONE, GraphEncoder
from model.nn.ranker import Ranker
from model.nn.settings import NetSettings
from model.nn.sides import SideHeads
from model.nn.towers import ItemTower, UserTower

HISTORY = ("history_vectors", "history_types", "history_values", "history_gaps")
WHO = ("profile", "context")


@dataclass(frozen=True, slots=True)
class ItemFeatures:
    """What the item tower reads of N items: item_id int64 [N], text float32 [N, text_dim], attributes int64 [N, A],
    entity int64 [N] (NONE: not in the graph)."""

    item_id: Tensor
    text: Tensor
    attributes: Tensor
    entity: Tensor

    @classmethod
    def of(
        cls,
        item_id: NDArray[np.int64],
        text: NDArray[np.float32],
        attributes: NDArray[np.int32],
        entity: NDArray[np.int64] | None = None,
    ) -> "ItemFeatures":
        """From arrays as the bundle keeps them."""
        known = np.full(len(item_id), NONE, np.int64) if entity is None else entity
        arrays = (item_id, text.astype(np.float32), attributes.astype(np.int64), known.astype(np.int64))
        return cls(*(torch.from_numpy(array) for array in arrays))

    def take(self, rows: Tensor) -> "ItemFeatures":
        """The features of some rows, int64 [...]."""
        return ItemFeatures(self.item_id[rows], self.text[rows], self.attributes[rows], self.entity[rows])


class MultiTaskModel(nn.Module):
    """Item tower, graph encoder, user tower, ranker, side heads over one spec; one forward for training and export."""

    def __init__(
        self,
        spec: FeatureSpec,
        items: int,
        entities: int = 0,
        relations: int = 0,
        settings: NetSettings | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.items = spec, items
        self.settings = settings or NetSettings()
        self.graph_encoder = GraphEncoder(entities, relations, spec.graph_dim, self.settings.graph_layers)
        self.item_tower = ItemTower(spec, items, self.settings)
        self.user_tower = UserTower(spec, self.settings)
        self.ranker = make_ranker(spec, self.settings)
        self.sides = SideHeads(spec)

    def item_vectors(self, features: ItemFeatures, hide_ids: Tensor | None = None) -> Tensor:
        """Item vectors [..., D] of features [...]; where `hide_ids` (bool [...]) is true, as of an unseen item."""
        ids = features.item_id if hide_ids is None else features.item_id.masked_fill(hide_ids, 0)
        graph = self.graph_encoder(features.entity)
        vectors: Tensor = self.item_tower(ids, features.text, features.attributes, graph)
        return vectors

    def user_vectors(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """User vectors [B, D] now; inputs as of user_tower.onnx, others are not looked at."""
        vectors: Tensor = self.user_tower(*(inputs[name] for name in (*HISTORY, *WHO)))
        return vectors

    def user_vectors_all(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """User vectors [B, L+1, D] before the first event and after each; context may be [B, L+1, X]."""
        return self.user_tower.forward_all(*(inputs[name] for name in (*HISTORY, *WHO)))

    def user_vectors_around(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What fills the place of each event, [B, L, D], by all others before and after it; inputs as above."""
        return self.user_tower.forward_around(*(inputs[name] for name in (*HISTORY, *WHO)))

    def rank_raw(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Raw readings [B, C, T] for `losses.task_losses`; inputs as of ranker.onnx."""
        return self.ranker.raw(**inputs)

    def rank_logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits and values [B, C, T], exactly what ranker.onnx gives."""
        logits: Tensor = self.ranker(**inputs)
        return logits


def make_ranker(spec: FeatureSpec, settings: NetSettings) -> Ranker:
    """One ranker of all tasks, or one for each."""
    return Ranker(spec, settings) if settings.sharing else Apart(spec, settings)
