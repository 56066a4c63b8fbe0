"""Item → item neighbour lists: one compressed-sparse-row table a channel, the same lookup in training and serving."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILES = ("indptr", "indices", "weights")
DENSE_ITEMS = 50_000  # up to so many items, sums over the whole catalogue are cheaper than sorting what is reached


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one channel says of the catalogue for one request: rows int64 [M], scores float32 [M], best first."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def top(self, count: int) -> "Evidence":
        """The best `count` entries."""
        return Evidence(self.rows[:count], self.scores[:count])

    def allowed(self, mask: NDArray[np.bool_]) -> "Evidence":
        """Only rows that `mask` (bool [rows]) allows, order kept."""
        keep = mask[self.rows]
        return Evidence(self.rows[keep], self.scores[keep])

    @classmethod
    def ranked(cls, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> "Evidence":
        """Entries put in order: score descending, then row ascending."""
        order = np.lexsort((rows, -scores))
        return cls(rows[order], scores[order])

    @classmethod
    def empty(cls) -> "Evidence":
        """Nothing to say."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each of N items its neighbours: indptr int64 [N+1], indices int32 [nnz], weights float32 [nnz] > 0."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def of(self, row: int) -> Evidence:
        """Neighbours of one item, best first; empty for rows added after training."""
        return self.evidence(np.asarray([row], np.int64), np.ones(1, np.float32))

    def evidence(self, rows: NDArray[np.int64], factors: NDArray[np.float32]) -> Evidence:
        """Sum over history items: score(j) = Σ_i factors[i] · weight(rows[i] → j); unknown rows add nothing."""
        return Evidence.ranked(*self.reached(rows, factors))

    def reached(
        self, rows: NDArray[np.int64], factors: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The entries of `evidence` in no particular order, for callers that filter before they rank."""
        targets, weights = self.entries(rows, factors)
        if len(self) <= DENSE_ITEMS:
            sums = np.bincount(targets, weights, len(self))
            found = np.flatnonzero(sums)
            return found, sums[found].astype(np.float32)
        unique, added = summed(targets, weights, np.empty(len(self), np.int32))
        return unique.astype(np.int64), added

    def entries(
        self, rows: NDArray[np.int64], factors: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Every neighbour of every history item with its weighted weight: what `reached` adds up."""
        known = rows < len(self)
        if not known.all():
            rows, factors = rows[known], factors[known]
        starts, ends = self.indptr.take(rows), self.indptr.take(rows + 1)
        spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
        targets = np.concatenate([self.indices[:0], *[self.indices[start:end] for start, end in spans]])
        weights = np.concatenate([self.weights[:0], *[self.weights[start:end] for start, end in spans]])
        weights *= np.repeat(factors, ends - starts)
        return targets, weights

    def save(self, folder: Path) -> None:
        """Write the three arrays as .npy files into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def open(cls, folder: Path) -> "Neighbours":
        """Memory-map the arrays of `folder`."""
        indptr, indices, weights = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in FILES)
        return cls(indptr, indices, weights)

    @classmethod
    def build(
        cls,
        sources: NDArray[np.int64],
        targets: NDArray[np.int64],
        weights: NDArray[np.float64],
        size: int,
        keep: int = 100,
    ) -> "Neighbours":
        """Table from weighted pairs source → target: equal pairs add up, self pairs go, `keep` best stay a row."""
        useful = (sources != targets) & (weights > 0)
        keys, inverse = np.unique(sources[useful] * size + targets[useful], return_inverse=True)
        sums = np.bincount(inverse, weights=weights[useful], minlength=len(keys))
        source, target = keys // size, keys % size
        order = np.lexsort((target, -sums, source))
        source, target, sums = source[order], target[order], sums[order]
        first = np.searchsorted(source, np.arange(size + 1))
        near = np.arange(len(source)) - first[source] < keep
        indptr = np.searchsorted(source[near], np.arange(size + 1)).astype(np.int64)
        return cls(indptr, target[near].astype(np.int32), sums[near].astype(np.float32))


def summed(
    keys: NDArray[np.int32], weights: NDArray[np.float32], note: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The distinct keys, in order of where each stands last, and the sum of each one's weights.

    `note` int32 has a place for every key there can be and says who wrote there last; what nobody wrote is never read,
    so nothing is set before. A third of the time of sorting, whatever the size.
    """
    places = np.arange(len(keys), dtype=np.int32)
    note[keys] = places
    unique = keys[note.take(keys) == places]
    note[unique] = places[: len(unique)]
    return unique, np.bincount(note.take(keys), weights, len(unique)).astype(np.float32)
