"""Item → item tables of the recall channels, learned from a log grouped by user."""

from collections.abc import Iterator

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from model.data.log import ByUser
from model.features.neighbours import Neighbours

DENSE_ITEMS = 20_000  # largest catalogue whose item–item matrix is inverted
WHOLE_ITEMS = 4_000  # largest one where that matrix holds even what a single user has met, which says next to nothing
GAP_POWER = 0.5  # weight of a pair `gap` steps apart is gap^-GAP_POWER
POPULARITY_POWER = 0.25  # how far a target's own frequency is divided out


def cooccurrence(log: ByUser, items: int, window: int = 20, keep: int = 200) -> Neighbours:
    """Directed co-occurrence: i → j adds gap^-½ when j follows i within `window` steps, over j's frequency^¼."""
    parts = list(_followers(log, window))
    sources, targets, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    frequency = np.maximum(np.bincount(log.log.item, minlength=items), 1.0)
    return Neighbours.build(sources, targets, weights / frequency[targets] ** POPULARITY_POWER, items, keep)


def _followers(log: ByUser, window: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Pairs (earlier item, later item, weight) of one user, one gap after the other; the first is always empty."""
    user, item = log.log.user[log.places], log.log.item[log.places]
    yield item[:0], item[:0], np.empty(0)
    for gap in range(1, min(window, len(item) - 1) + 1):
        same = user[:-gap] == user[gap:]
        yield item[:-gap][same], item[gap:][same], np.full(int(same.sum()), gap**-GAP_POWER)


def ease(log: ByUser, items: int, shrink: float = 500.0, keep: int = 200) -> Neighbours:
    """EASE (Steck 2019): the linear item–item model in closed form, its `keep` best positive weights an item.

    Above WHOLE_ITEMS items only those that two users have met take part; above DENSE_ITEMS, where the dense inverse
    does not fit, cosine neighbours stand in.
    """
    x = interaction_matrix(log, items)
    if items > DENSE_ITEMS:
        return cosine(x, shrink / 50, keep)
    shared = np.flatnonzero(np.asarray(x.sum(0)).ravel() >= (2 if items > WHOLE_ITEMS else 0))
    if not len(shared):
        return Neighbours.build(shared, shared, np.empty(0), items, keep)
    x = x[:, shared]
    gram = np.asarray((x.T @ x).todense(), np.float32)
    gram[np.diag_indices(len(shared))] += shrink
    inverse = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False, assume_a="pos")
    inverse /= -np.diag(inverse).copy()
    np.fill_diagonal(inverse, 0.0)
    return best_of_dense(inverse, keep, (shared, items))


def best_of_dense(
    weights: NDArray[np.float32], keep: int, some: tuple[NDArray[np.int64], int] | None = None, chunk: int = 1000
) -> Neighbours:
    """Table of the `keep` largest positive weights of each row of a dense matrix [M, M].

    `some`: the rows int64 [M] that it is about, of how many there are (default: of all).
    """
    keep, size = min(keep, len(weights)), len(weights)
    found, targets = np.empty((size, keep)), np.empty((size, keep), np.int64)
    for at in range(0, size, chunk):
        part = weights[at : at + chunk]
        near = np.argpartition(-part, keep - 1, axis=1)[:, :keep]
        targets[at : at + chunk], found[at : at + chunk] = near, np.take_along_axis(part, near, axis=1)
    rows, items = some or (np.arange(size), size)
    return Neighbours.build(np.repeat(rows, keep), rows[targets.ravel()], found.ravel(), items, keep)


def cosine(x: sp.csr_matrix, shrink: float, keep: int, chunk: int = 2000) -> Neighbours:
    """Shrunk cosine between the columns of a users × items matrix, the `keep` best an item.

    Only the best of `chunk` items' pairs are held at a time: of what many have in common there are squares of many.
    """
    norm, items = np.sqrt(np.asarray(x.multiply(x).sum(0)).ravel()) + 1e-9, x.shape[1]
    parts = []
    for start in range(0, items, chunk):
        overlap = sp.csr_matrix(x[:, start : start + chunk].T @ x)
        overlap.sort_indices()
        rows = np.repeat(np.arange(start, start + overlap.shape[0]), np.diff(overlap.indptr))
        overlap.data = overlap.data / (norm[rows] * norm[overlap.indices] + shrink)
        best = _best(overlap, keep + 1)  # itself is among them
        parts.append((rows[best], overlap.indices[best].astype(np.int64), overlap.data[best]))
    sources, targets, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Neighbours.build(sources, targets, weights, items, keep)


def _best(values: sp.csr_matrix, keep: int) -> NDArray[np.int64]:
    """Places in `data` of the `keep` highest values of each row, the lower column first where they are equal."""
    found = []
    for start, end in zip(values.indptr, values.indptr[1:], strict=False):
        one = values.data[start:end]
        if len(one) <= keep:
            found.append(np.arange(start, end))
            continue
        cut = np.partition(one, len(one) - keep)[len(one) - keep]
        above, level = np.flatnonzero(one > cut), np.flatnonzero(one == cut)
        found.append(start + np.concatenate([above, level[: keep - len(above)]]))
    return np.concatenate(found) if found else np.empty(0, np.int64)


def interaction_matrix(log: ByUser, items: int) -> sp.csr_matrix:
    """Who ever touched what: users × items, ones."""
    shape = (len(log.indptr) - 1, items)
    x = sp.csr_matrix((np.ones(len(log.log), np.float32), (log.log.user, log.log.item)), shape=shape)
    x.data[:] = 1.0  # repeats count once
    return x


def as_matrix(table: Neighbours) -> sp.csr_matrix:
    """The table as a sparse items × items matrix."""
    return sp.csr_matrix((table.weights, table.indices, table.indptr), shape=(len(table), len(table)))
