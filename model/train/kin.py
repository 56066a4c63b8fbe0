"""Which items belong together: read by the same users, alike in graph or attributes. What teaches a text encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model.config import Recipe
from model.data.log import Dataset
from model.data.spec import attribute_table, build_spec
from model.features.neighbours import Neighbours
from model.train.channels import as_matrix, cosine, interaction_matrix
from model.train.plan import make_plan
from model.train.shared import shared_neighbours

KEEP = 20  # neighbours an item, of each kind
SHRINK = 5.0  # readers in common that a pair needs before it is believed
TOGETHER_SHARE = 0.7  # of the pairs, where an item has both kinds of neighbours


@dataclass(frozen=True, slots=True)
class Kin:
    """Of N items: neighbours by the users who met both, neighbours by graph or attributes, attribute ids int32 [N, A].

    `vocabulary` is the number of attribute ids, `told` bool [N] which items have a text.
    """

    together: Neighbours
    alike: Neighbours
    attributes: NDArray[np.int32]
    vocabulary: int
    told: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Items with a text that users met together with others, bool [N]."""
        return self.told & (np.diff(self.together.indptr) > 0)

    def related(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `others` is the item itself or one of its neighbours, bool [n, m]: these are no negatives."""
        found: NDArray[np.bool_] = rows[:, None] == others
        for table in (self.together, self.alike):
            near = as_matrix(table)
            found |= np.asarray(near[rows][:, others].todense() > 0)
            found |= np.asarray(near[others][:, rows].todense() > 0).T
        return found


class Pairs:
    """Draws pairs of kin among the items `allowed` (bool [N]) that have a text."""

    def __init__(self, kin: Kin, allowed: NDArray[np.bool_]) -> None:
        keep = sp.diags((allowed & kin.told).astype(np.float32))
        self._tables = [sp.csr_matrix(keep @ as_matrix(table) @ keep) for table in (kin.together, kin.alike)]
        for table in self._tables:
            table.eliminate_zeros()
        self.anchors = np.flatnonzero(sum(np.diff(table.indptr) for table in self._tables))

    def draw(self, count: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of `count` items, and of one neighbour of each.

        Items are drawn evenly, not by their events: the negatives of a batch would else be the popular ones.
        """
        rows = self.anchors[generator.integers(0, len(self.anchors), count)]
        by_users, by_content = (_drawn(table, rows, generator) for table in self._tables)
        first = generator.random(count) < TOGETHER_SHARE
        return rows, np.where((first & (by_users >= 0)) | (by_content < 0), by_users, by_content)


def kin_of(recipe: Recipe, dataset: Dataset, texts: Sequence[str]) -> Kin:
    """Kin of a catalogue, as the base of the plan knows its users; `texts` are what the encoder reads of the items."""
    plan = make_plan(dataset.log)
    log = plan.log.take(plan.base).by_user(len(dataset.users))
    spec = build_spec(recipe, dataset)
    attributes = attribute_table(spec, dataset.item_records, len(dataset.items))
    together = cosine(interaction_matrix(log, len(dataset.items)), SHRINK, KEEP)
    content = dataset.graph is not None or bool(attributes.any())
    alike = shared_neighbours(dataset, attributes, KEEP) if content else _nothing(len(dataset.items))
    told = np.asarray([bool(text) for text in texts])
    return Kin(together, alike, attributes, spec.attribute_vocabulary, told)


def _nothing(items: int) -> Neighbours:
    return Neighbours.build(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), items, KEEP)


def _drawn(table: sp.csr_matrix, rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """One neighbour of each row, each as likely; −1 where it has none."""
    start, counts = table.indptr[rows], np.diff(table.indptr)[rows]
    places = start + (generator.random(len(rows)) * counts).astype(np.int64)
    found = np.full(len(rows), -1, np.int64)
    found[counts > 0] = table.indices[places[counts > 0]]
    return found
