"""What items have in common: neighbours in the graph, or attributes; as a channel's table and as facts for reasons."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model.data.log import Dataset, KnowledgeGraph
from model.features.graph import ItemFacts
from model.features.neighbours import Neighbours
from model.train.channels import cosine


def shared_neighbours(dataset: Dataset, attributes: NDArray[np.int32], keep: int) -> Neighbours:
    """Items that share neighbours in the graph, rare ones counting more; their attributes where there is no graph."""
    found = attribute_matrix(attributes) if dataset.graph is None else graph_matrix(dataset.graph)
    return cosine(sp.csr_matrix(_weighed(found).T), 1.0, keep)


def telling_matrix(graph: KnowledgeGraph) -> sp.csr_matrix:
    """Items × facts that more than one item shares, rare ones weighing more, each row of length 1."""
    found = _weighed(graph_matrix(graph))
    length = np.sqrt(np.asarray(found.multiply(found).sum(1)).ravel())
    return sp.csr_matrix(sp.diags(1 / np.maximum(length, 1e-9)) @ found)


def _weighed(found: sp.csr_matrix) -> sp.csr_matrix:
    """Columns weighed by how much they tell: log of their rarity, 0 for what one item alone has."""
    holders = np.asarray(found.sum(0)).ravel()
    telling = (holders > 1) * np.log((1 + found.shape[0]) / (1 + holders))
    weighed = sp.csr_matrix(found @ sp.diags(telling))
    weighed.eliminate_zeros()
    return weighed


def graph_pairs(graph: KnowledgeGraph) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(item row, fact) for every triple that has an item at either end.

    A fact is relation · entities + other end; relations read backwards are numbered after those read forwards.
    """
    row_of = np.full(len(graph.entities), -1, np.int64)
    items = np.flatnonzero(graph.item_entity >= 0)
    row_of[graph.item_entity[items]] = items
    head, kind, tail = graph.triples.T
    rows = np.concatenate([row_of[head], row_of[tail]])
    width, kinds = len(graph.entities), len(graph.relations)
    facts = np.concatenate([kind * width + tail, (kinds + kind) * width + head])
    return rows[rows >= 0], facts[rows >= 0]


def graph_matrix(graph: KnowledgeGraph) -> sp.csr_matrix:
    """Items × facts of the graph, ones."""
    rows, facts = graph_pairs(graph)
    names, places = np.unique(facts, return_inverse=True)
    shape = (len(graph.item_entity), len(names))
    made = sp.csr_matrix((np.ones(len(rows)), (rows, places)), shape=shape)
    made.data[:] = 1.0  # a triple told twice counts once
    return made


def attribute_matrix(attributes: NDArray[np.int32]) -> sp.csr_matrix:
    """Items × attribute ids, ones."""
    rows, places = np.nonzero(attributes)
    shape = (len(attributes), int(attributes.max(initial=0)) + 1)
    return sp.csr_matrix((np.ones(len(rows)), (rows, attributes[rows, places])), shape=shape)


def item_facts(graph: KnowledgeGraph) -> ItemFacts:
    """The graph's facts by item, named by relation and entity."""
    rows, facts = graph_pairs(graph)
    numbers, places = np.unique(facts, return_inverse=True)
    kinds = [*graph.relations, *(f"{name} of" for name in graph.relations)]
    width = len(graph.entities)
    names = [(kinds[fact // width], graph.entities[fact % width]) for fact in numbers.tolist()]
    return ItemFacts.build(rows, places.astype(np.int64), names, len(graph.item_entity))
