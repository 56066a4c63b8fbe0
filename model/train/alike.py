"""The content channel: which items a history speaks for by what is said of them, items nobody has met included.

A kernel ridge regression over items: what a user did with an item is explained by what the user did with those that
are like it in text, attributes and graph. In closed form its leave-one-out weights are -P_ij / P_jj with P the inverse
of the kernel plus the strength (as in EASE, Steck 2019, with a kernel of content in place of the interactions' Gram
matrix), so no item's weights have seen its own events, and an item without events is read by the same formula.
"""

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from model.config import Training
from model.data.log import KnowledgeGraph
from model.features.neighbours import Neighbours
from model.train.arrays import Features
from model.train.channels import best_of_dense
from model.train.shared import attribute_matrix, telling_matrix

MOST_ITEMS = 15_000  # largest catalogue whose kernel may be inverted
CONSTANT = 0.5  # what any two items have in common
POWERS = (1, 2, 4)  # of the attributes' cosine: higher ones ask for the same combination of them


def content_neighbours(features: Features, graph: KnowledgeGraph | None, settings: Training) -> Neighbours:
    """The channel's table, learned from known items; empty where there is no content."""
    known, one = features.known, settings.channel("content")
    kernel = content_kernel(features, graph, settings)
    if kernel is None or not known.any():
        nothing = np.empty(0, np.int64)
        return Neighbours.build(nothing, nothing, np.empty(0), len(features), one.keep)
    weights = np.zeros_like(kernel)
    weights[np.ix_(known, known)], inverse = left_out(kernel[np.ix_(known, known)], one.shrink)
    weights[np.ix_(known, ~known)] = inverse @ kernel[np.ix_(known, ~known)]
    return best_of_dense(weights, one.keep)


def left_out(kernel: NDArray[np.float32], strength: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Leave-one-out weights of each column by the other rows, and the inverse they come from; both [n, n]."""
    inner = kernel.copy()
    inner[np.diag_indices(len(inner))] += strength
    inverse = scipy.linalg.inv(inner, overwrite_a=True, check_finite=False, assume_a="pos")
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights, inverse


def content_kernel(features: Features, graph: KnowledgeGraph | None, settings: Training) -> NDArray[np.float32] | None:
    """How alike any two items are by everything that is said of them, float32 [N, N], near 1 a part."""
    parts: list[NDArray[np.float32]] = []
    if settings.text and features.text.any():
        parts.append(features.text @ features.text.T)
    if settings.attributes and features.attributes.any():
        cosine = _cosines(attribute_matrix(features.attributes)[:, 1:])
        parts += [cosine**power for power in POWERS]
    if graph is not None:
        parts.append(_cosines(telling_matrix(graph)))
    return sum(parts[1:], parts[0] + np.float32(CONSTANT)) if parts else None


def _cosines(rows: sp.csr_matrix) -> NDArray[np.float32]:
    """Cosines between the rows of a sparse matrix, 0 for empty ones."""
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(1)).ravel())
    unit = sp.csr_matrix(sp.diags(1 / np.maximum(length, 1e-9)) @ rows)
    return np.asarray((unit @ unit.T).todense(), np.float32)
