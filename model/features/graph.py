"""What two items share in the knowledge graph, for reasons: facts of items as a CSR table, torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

FOLDER = "graph"


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """For each of N items its facts: indptr int64 [N+1], facts int32 [nnz] ascending; names: (relation, entity) a fact.

    Facts are numbered from the rarest on, so that the smallest numbers say most.
    """

    indptr: NDArray[np.int64]
    facts: NDArray[np.int32]
    names: Sequence[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def of(self, row: int) -> NDArray[np.int32]:
        """Facts of one item, rarest first; none for rows added after training."""
        if not 0 <= row < len(self):
            return np.empty(0, np.int32)
        return np.asarray(self.facts[self.indptr[row] : self.indptr[row + 1]])

    def shared(self, row: int, other: int, most: int = 3) -> list[tuple[str, str]]:
        """(relation, entity) of up to `most` facts that hold of both items, rarest first."""
        both = np.intersect1d(self.of(row), self.of(other), assume_unique=True)
        return [(str(self.names[fact][0]), str(self.names[fact][1])) for fact in both[:most].tolist()]

    @classmethod
    def build(
        cls, rows: NDArray[np.int64], facts: NDArray[np.int64], names: Sequence[tuple[str, str]], items: int
    ) -> "ItemFacts":
        """From pairs (item row, fact), in any order and possibly repeated; facts of a single item are left out."""
        rows, facts = np.unique(np.stack([rows, facts]), axis=1)
        holders = np.bincount(facts, minlength=len(names))
        order = np.lexsort((np.arange(len(names)), holders))
        order = order[holders[order] > 1]
        number = np.full(len(names), -1)
        number[order] = np.arange(len(order))
        kept = number[facts] >= 0
        rows, found = rows[kept], number[facts[kept]]
        sequence = np.lexsort((found, rows))
        indptr = np.searchsorted(rows[sequence], np.arange(items + 1)).astype(np.int64)
        return cls(indptr, found[sequence].astype(np.int32), [names[place] for place in order.tolist()])

    def save(self, folder: Path) -> None:
        """Write indptr.npy, facts.npy and names.json into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "indptr.npy", self.indptr)
        np.save(folder / "facts.npy", self.facts)
        (folder / "names.json").write_bytes(orjson.dumps([list(name) for name in self.names]))

    @classmethod
    def open(cls, folder: Path) -> "ItemFacts":
        """Memory-map the arrays of `folder`."""
        indptr, facts = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("indptr", "facts"))
        names = [(relation, entity) for relation, entity in orjson.loads((folder / "names.json").read_bytes())]
        return cls(indptr, facts, names)
