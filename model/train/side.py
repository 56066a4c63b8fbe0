"""Side tasks on the item vectors: attributes told from everything else, and links of the graph."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import Recipe
from model.data.log import Dataset, KnowledgeGraph
from model.nn import losses
from model.nn.model import MultiTaskModel
from model.train.arrays import Features

SAMPLE = 256  # items and links a step
CORRUPTED = 32  # false tails a true link competes with


@dataclass(frozen=True, slots=True)
class SideLosses:
    """Weights of the side tasks (0: off) and what they read; `triples` int64 [m, 3]."""

    attributes: float = 0.0
    links: float = 0.0
    triples: NDArray[np.int64] | None = None

    def loss(self, model: MultiTaskModel, features: Features, generator: np.random.Generator) -> Tensor:
        """The weighted side losses of a random sample."""
        total = torch.zeros(())
        if self.attributes:
            rows = generator.integers(0, len(features), min(SAMPLE, len(features)))
            total = total + self.attributes * attribute_loss(model, features, rows)
        if self.links and self.triples is not None:
            total = total + self.links * link_loss(model, self.triples, generator)
        return total


def side_losses(recipe: Recipe, dataset: Dataset) -> SideLosses:
    """The side tasks that a recipe declares, with their weights."""
    weights = {task.kind: task.weight for task in recipe.side_tasks}
    graph: KnowledgeGraph | None = dataset.graph
    return SideLosses(
        weights.get("item_attributes", 0.0), weights.get("graph_links", 0.0), None if graph is None else graph.triples
    )


def attribute_loss(model: MultiTaskModel, features: Features, rows: NDArray[np.int64]) -> Tensor:
    """How well the vectors of items, made without their attributes, tell these attributes."""
    items = features.items(rows)
    hidden = torch.zeros_like(items.attributes)
    graph = model.graph_encoder(items.entity)
    vectors = model.item_tower(items.item_id, items.text, hidden, graph)
    return losses.attributes(model.sides.attribute_logits(vectors * vectors.shape[-1] ** 0.5), items.attributes)


def link_loss(model: MultiTaskModel, triples: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
    """How well a sample of true links scores against the same links with random tails."""
    some = torch.from_numpy(triples[generator.integers(0, len(triples), min(SAMPLE, len(triples)))])
    false = torch.from_numpy(generator.choice(triples[:, 2], (len(some), CORRUPTED)))
    score = model.graph_encoder.score
    wrong = score(some[:, :1], some[:, 1:2], false)
    return losses.links(score(some[:, 0], some[:, 1], some[:, 2]), wrong)
