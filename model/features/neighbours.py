"""Item → item neighbour lists: one compressed-sparse-row table a channel, the same lookup in training and serving."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.features import kernels

FILES = ("indptr", "indices", "weights")
ECHO_EVENTS = 50  # newest events whose leanings echo
ECHO_NEAR = 100  # first neighbours of an item in which a leaning towards it echoes
PRIOR_ECHO = 10.0  # events as near as can be of one who leans nowhere, in what leanings say of an item near them
NO_ROWS, NO_SCORES = np.empty(0, np.int64), np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one channel says of the catalogue for one request: rows int64 [M], scores float32 [M], best first.

    It offers these; of what is `beyond`, in any order, it has a score too: the ranker reads it whoever offers the item.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    beyond: NDArray[np.int64] = field(default_factory=lambda: NO_ROWS)
    beyond_scores: NDArray[np.float32] = field(default_factory=lambda: NO_SCORES)

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
    def best(
        cls,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        k: int,
        mask: NDArray[np.bool_] | None = None,
        excluded: NDArray[np.int64] = NO_ROWS,
    ) -> "Evidence":
        """The k best entries in order, among rows that `mask` (bool [catalogue]) allows and `excluded` does not hold.

        `excluded` int64 ascends; each of `rows` comes once; a tie at the cut keeps the lower rows. Raises IndexError
        for a row outside of the mask.
        """
        best_rows, best_scores = np.empty(min(k, len(rows)), np.int64), np.empty(min(k, len(rows)), np.float32)
        found = kernels.best(
            np.ascontiguousarray(rows, np.int64),
            np.ascontiguousarray(scores, np.float32),
            mask,
            excluded,
            best_rows,
            best_scores,
        )
        return cls(best_rows[:found], best_scores[:found])

    @classmethod
    def empty(cls) -> "Evidence":
        """Nothing to say."""
        return cls(NO_ROWS, NO_SCORES)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each of N items its neighbours: indptr int64 [N+1], indices int32 [nnz], weights float32 [nnz] > 0."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    most: int = field(init=False)  # neighbours of the item that has most

    def __post_init__(self) -> None:
        object.__setattr__(self, "most", int(np.diff(self.indptr).max(initial=0)))  # it is frozen

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def of(self, row: int) -> Evidence:
        """Neighbours of one item, best first; empty for rows added after training."""
        return self.evidence(np.asarray([row], np.int64), np.ones(1, np.float32))

    def evidence(self, rows: NDArray[np.int64], factors: NDArray[np.float32]) -> Evidence:
        """Sum over history items: score(j) = Σ_i factors[i] · weight(rows[i] → j); unknown rows add nothing."""
        return self.best(rows, factors, self.most * len(rows))

    def best(
        self,
        rows: NDArray[np.int64],
        factors: NDArray[np.float32],
        k: int,
        mask: NDArray[np.bool_] | None = None,
        excluded: NDArray[np.int64] = NO_ROWS,
    ) -> Evidence:
        """The k best of `evidence` that may be answered, as of `Evidence.best`; all others lie beyond."""
        reach = self.most * len(rows)  # or less; room that is not written is not touched
        best_rows, best_scores = np.empty(min(k, reach), np.int64), np.empty(min(k, reach), np.float32)
        beyond, beyond_scores = np.empty(reach, np.int64), np.empty(reach, np.float32)
        found, more = kernels.neighbours(
            self.indptr, self.indices, self.weights, rows, factors, mask, excluded,
            best_rows, best_scores, beyond, beyond_scores,
        )  # fmt: skip
        return Evidence(best_rows[:found], best_scores[:found], beyond[:more], beyond_scores[:more])

    def echoed(
        self,
        rows: NDArray[np.int64],
        values: NDArray[np.float32],
        own: NDArray[np.float32],
        candidates: NDArray[np.int64],
        out: NDArray[np.float32],
    ) -> None:
        """What leanings towards items say of others that are their neighbours, into `out` float32 [C, 2].

        rows, values, own [L] as of `Leanings` · candidates int64 [C]. First what is left of the values, averaged by how
        near the items are to the candidate and drawn to 0 where few are near; then the log of how many are near.
        """
        table, newest = (self.indptr, self.indices, self.weights), slice(max(len(rows) - ECHO_EVENTS, 0), None)
        kernels.echoed(*table, rows[newest], values[newest], own[newest], candidates, ECHO_NEAR, PRIOR_ECHO, out)

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
