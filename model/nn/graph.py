"""The knowledge graph as vectors: an entity is itself and what its relations lead to."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.nn.losses import distmult, transe

NONE = -1  # no neighbour, no entity
Links = Literal["distmult", "transe"]


class GraphEncoder(nn.Module):
    """Entity vectors by relation-aware attention over sampled neighbours (after KGAT and KGIN, Wang et al. 2019, 2021).

    A message along a relation is r ⊙ t; how much it counts is softmax of its product with the entity, plus a bias of
    the relation. Relations have an inverse of their own, so that an actor also hears of the films.
    """

    def __init__(self, entities: int, relations: int, dim: int, layers: int = 1) -> None:
        super().__init__()
        self.layers, self.named = layers, relations
        self.entity = nn.Embedding(max(entities, 1), dim)
        self.relation = nn.Embedding(max(2 * relations, 1), dim)
        self.listen = nn.Embedding(max(2 * relations, 1), 1)
        self.mix = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(layers))
        self.register_buffer("tails", torch.full((max(entities, 1), 1), NONE), persistent=False)
        self.register_buffer("kinds", torch.zeros((max(entities, 1), 1), dtype=torch.int64), persistent=False)
        nn.init.normal_(self.entity.weight, std=dim**-0.25)
        nn.init.normal_(self.relation.weight, std=dim**-0.25)
        nn.init.zeros_(self.listen.weight)

    tails: Tensor
    kinds: Tensor

    def set_neighbours(self, tails: NDArray[np.int64], kinds: NDArray[np.int64]) -> None:
        """Take each entity's sampled neighbours and their relations, int64 [entities, K]; a tail is NONE where none."""
        device = self.entity.weight.device
        self.tails = torch.from_numpy(tails).to(device)
        self.kinds = torch.from_numpy(kinds).to(device)

    def forward(self, rows: Tensor) -> Tensor:
        """Entity rows int64 [...] → vectors [..., G]; zero where the row is NONE."""
        return self._vectors(rows, self.layers) * (rows >= 0).unsqueeze(-1)

    def score(self, heads: Tensor, kinds: Tensor, tails: Tensor, by: Links = "distmult") -> Tensor:
        """Score of links between entity rows, int64 of shapes that broadcast."""
        score = {"distmult": distmult, "transe": transe}[by]
        return score(self.entity(heads), self.relation(kinds), self.entity(tails))

    @torch.no_grad()
    def entity_vectors(self, rows: NDArray[np.int64], batch: int = 4096) -> NDArray[np.float32]:
        """Vectors float32 [n, G] of entity rows, zero where NONE: what item_features/graph.npy holds."""
        parts = torch.split(torch.from_numpy(rows).to(self.entity.weight.device), batch)
        made = [self(part).cpu().numpy() for part in parts]
        return np.concatenate(made) if made else np.zeros((0, self.entity.embedding_dim), np.float32)

    def _vectors(self, rows: Tensor, depth: int) -> Tensor:
        """Entities learn from links alone, not from what is made of them here: an item's own entity would else be its
        id in disguise, and say nothing of items without events."""
        own: Tensor = self.entity(rows.clamp(min=0)).detach()
        if depth == 0:
            return own
        tails, kinds = self.tails[rows.clamp(min=0)], self.kinds[rows.clamp(min=0)]
        messages = self._vectors(tails, depth - 1) * self.relation(kinds)  # [..., K, G]
        weights = self._weights(own, messages, kinds, tails)
        heard: Tensor = self.mix[depth - 1]((weights.unsqueeze(-1) * messages).sum(-2))
        return own + heard

    def _weights(self, own: Tensor, messages: Tensor, kinds: Tensor, tails: Tensor) -> Tensor:
        """Attention [..., K] over neighbours, all zero for an entity that has none."""
        scores = (messages * own.unsqueeze(-2)).sum(-1) + self.listen(kinds).squeeze(-1)
        there = tails >= 0
        weights: Tensor = scores.masked_fill(~there, -1e9).softmax(-1) * there
        return weights


def sampled_neighbours(
    triples: NDArray[np.int64], entities: int, relations: int, keep: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Up to `keep` random neighbours of each entity and the relations to them, each int64 [entities, keep].

    triples int64 [m, 3] (head, relation, tail); a tail reaches its head by relation + `relations`.
    """
    heads = np.concatenate([triples[:, 0], triples[:, 2]])
    kinds = np.concatenate([triples[:, 1], triples[:, 1] + relations])
    tails = np.concatenate([triples[:, 2], triples[:, 0]])
    order = np.lexsort((generator.random(len(heads)), heads))
    heads, kinds, tails = heads[order], kinds[order], tails[order]
    place = np.arange(len(heads)) - np.searchsorted(heads, heads)
    kept = place < keep
    table, named = np.full((entities, keep), NONE), np.zeros((entities, keep), np.int64)
    table[heads[kept], place[kept]] = tails[kept]
    named[heads[kept], place[kept]] = kinds[kept]
    return table, named
