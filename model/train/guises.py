"""Items in other guises than their own: as they would be if they were put at run time, or had no event yet.

Where N items are known, row N + i is item i as if put at run time, row 2 N + i as if it stood in the catalogue without
its id.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.features.leanings import Echoes
from model.features.neighbours import Evidence
from model.nn.graph import NONE
from model.train.arrays import Features


def newcomers(features: Features, generator: np.random.Generator) -> Features:
    """All items as if they were put at run time: without id and graph, every other one without attributes as well."""
    told = generator.random(len(features)) < 0.5
    return replace(
        features,
        id_index=np.zeros_like(features.id_index),
        entity=np.full_like(features.entity, NONE),
        attributes=features.attributes * told[:, None].astype(features.attributes.dtype),
    )


def nameless_items(features: Features) -> Features:
    """All items without their ids: what is known of them before anyone has met them."""
    return replace(features, id_index=np.zeros_like(features.id_index))


def inserted(found: Evidence, rows: NDArray[np.int64], scores: NDArray[np.float32], size: int) -> Evidence:
    """A list with more rows where their scores put them."""
    both = np.concatenate([found.rows, rows]), np.concatenate([found.scores, scores])
    return Evidence.ranked(*both).top(size)


def renamed(found: Evidence, rows: NDArray[np.int64], size: int) -> Evidence:
    """A list of N = `size` items whose entries stand under the guises `rows` that are candidates instead of them."""
    guise = np.arange(size)
    guise[rows % size] = rows
    return Evidence(guise[found.rows], found.scores, guise[found.beyond], found.beyond_scores)


@dataclass(frozen=True, slots=True)
class Guised:
    """A table of N = `size` items that reads no events: what stands there without its id has its item's row."""

    table: Echoes
    size: int

    def echoed(
        self,
        rows: NDArray[np.int64],
        values: NDArray[np.float32],
        own: NDArray[np.float32],
        candidates: NDArray[np.int64],
        out: NDArray[np.float32],
    ) -> None:
        """As the table's."""
        nameless = candidates >= 2 * self.size
        self.table.echoed(rows, values, own, candidates - nameless * (2 * self.size), out)


def in_guises(
    candidates: NDArray[np.int64], size: int, share: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Each candidate as a newcomer with probability `share`: put at run time (row + N), or standing in the catalogue
    without an event (row + 2 N)."""
    new = generator.random(len(candidates)) < share
    guise = 1 + (generator.random(len(candidates)) < 0.5)
    return np.where(new, candidates + guise * size, candidates)


def nameless(candidates: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Candidates of N = `size` items as they stand in the catalogue without an event."""
    return candidates + 2 * size
