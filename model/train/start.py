"""Where the item tower starts: from what closed forms know, so that gradient steps refine it instead of finding it.

Ids start from a factorisation of who touched what; content from a ridge regression onto that
(`settle`), so that an item without events begins where its like are; entities of the graph from a factorisation of
what items share.
"""

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from model.data.log import ByUser, KnowledgeGraph
from model.nn.graph import GraphEncoder
from model.nn.model import MultiTaskModel
from model.train.arrays import Features
from model.train.batches import item_vectors
from model.train.channels import interaction_matrix
from model.train.content import settle
from model.train.guises import nameless_items
from model.train.shared import graph_pairs, telling_matrix

PRIOR_EVENTS = 5.0  # pseudo-events that keep rare items' vectors short
QUIET = 0.1  # what neighbours say at first beside an entity's own vector, which already holds it


def start(
    model: MultiTaskModel,
    features: Features,
    bare: Features,
    log: ByUser,
    graph: KnowledgeGraph | None,
    generator: np.random.Generator,
) -> None:
    """Start the item tower (and the graph's entities) from the events of `log`; `bare` as of `settle`."""
    if graph is not None:
        start_graph(model.graph_encoder, graph)
    vectors = start_vectors(log, len(features), model.spec.dim)
    if len(vectors):
        settle(model, features, bare, vectors, np.bincount(log.log.item, minlength=len(features)), generator)


def start_vectors(log: ByUser, items: int, dim: int) -> NDArray[np.float32]:
    """Item vectors [N, D] of mean squared length 1, from the SVD of the normalised users × items matrix."""
    x = interaction_matrix(log, items)
    by_user = 1 / np.sqrt(1 + np.asarray(x.sum(1)).ravel())
    by_item = 1 / np.sqrt(PRIOR_EVENTS + np.asarray(x.sum(0)).ravel())
    made = _factors(sp.csr_matrix((sp.diags(by_user) @ x @ sp.diags(by_item)).T), dim, 0.5)
    length = np.sqrt((made**2).sum(1).mean()) if len(made) else 1.0
    return (made / max(length, 1e-9)).astype(np.float32)


def move(model: MultiTaskModel, features: Features, before: ByUser, after: ByUser) -> None:
    """Let item vectors, learned from the events of `before`, know what a factorisation of those of `after` knows more.

    What is added is the difference of the two factorisations, the newer one turned to lie as the older one (orthogonal
    Procrustes, Schönemann 1966), so that what was learned stays and whoever reads the vectors still knows their space.
    Items without events before begin where the newer one has them. `features` know items by their ids.
    """
    old, new = (start_vectors(log, len(features), model.spec.dim) for log in (before, after))
    if not len(old) or not len(new):
        return
    met, meets = (np.bincount(log.log.item, minlength=len(features))[:, None] for log in (before, after))
    turned = new @ turn(new, old, met)
    learned, told = model.item_tower.id.weight[1:].detach().numpy(), item_vectors(model, nameless_items(features))
    ids = np.where(met > 0, learned + turned - old, turned - told) * (meets > 0)
    model.item_tower.start_ids(torch.from_numpy(ids.astype(np.float32)))


def turn(vectors: NDArray[np.float32], onto: NDArray[np.float32], weight: NDArray[np.int64]) -> NDArray[np.float64]:
    """The rotation [D, D] that brings vectors [N, D] nearest to `onto` [N, D], errors weighed by `weight` [N, 1]."""
    left, _, right = np.linalg.svd((vectors * weight).T.astype(np.float64) @ onto)
    turned: NDArray[np.float64] = left @ right
    return turned


def start_graph(encoder: GraphEncoder, graph: KnowledgeGraph) -> None:
    """Start entities from what items share: an item's own from its facts, any other's from the items it belongs to."""
    width = encoder.entity.embedding_dim
    items = np.flatnonzero(graph.item_entity >= 0)
    vectors = _factors(telling_matrix(graph), width, 1.0)
    if not len(vectors):
        return
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    rows, facts = graph_pairs(graph)
    shape = (len(graph.entities), len(vectors))
    holders = sp.csr_matrix((np.ones(len(rows)), (facts % len(graph.entities), rows)), shape=shape)
    made = np.asarray(holders @ vectors) / np.maximum(np.asarray(holders.sum(1)), 1.0)
    made[graph.item_entity[items]] = vectors[items]
    with torch.no_grad():
        encoder.entity.weight[: len(made)] = torch.from_numpy(made).float()
        for weight in encoder.mix.parameters():
            weight.mul_(QUIET)


def _factors(matrix: sp.csr_matrix, rank: int, power: float) -> NDArray[np.float64]:
    """Left singular vectors [n, rank] times values^power, zeros beyond the matrix's rank; empty where it has none."""
    found = min(rank, min(matrix.shape) - 1)
    if found < 1:
        return np.zeros((0, rank))
    vectors, values, _ = svds(sp.csr_matrix(matrix, dtype=np.float64), k=found, random_state=0)
    made = np.zeros((matrix.shape[0], rank))
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], axis=0)
    made[:, :found] = vectors * np.sign(largest) * values**power  # a factor's sign means nothing: let it never differ
    return made
