"""What the networks read of items and users, as arrays by row."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.data.log import Dataset, Log
from model.data.spec import attribute_table, profile_table
from model.features.spec import FeatureSpec
from model.nn.graph import NONE
from model.nn.model import ItemFeatures


@dataclass(frozen=True, slots=True)
class Features:
    """Of N items and U users.

    id_index int64 [N] (row + 1, 0 for items without known events) · text float32 [N, text_dim] · attributes int32
    [N, A] · entity int64 [N] (NONE: not in the graph) · profile int32 [U, P].
    """

    id_index: NDArray[np.int64]
    text: NDArray[np.float32]
    attributes: NDArray[np.int32]
    entity: NDArray[np.int64]
    profile: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.id_index)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which items have events, bool [N]."""
        return self.id_index > 0

    def items(self, rows: NDArray[np.int64] | None = None) -> ItemFeatures:
        """What the item tower reads of some rows (default: all)."""
        everything = ItemFeatures.of(self.id_index, self.text, self.attributes, self.entity)
        return everything if rows is None else everything.take(torch.from_numpy(rows))


def make_features(spec: FeatureSpec, dataset: Dataset, text: NDArray[np.float32], log: Log) -> Features:
    """Features of a data set; an item is known by its id when `log` has an event of it."""
    items = len(dataset.items)
    entity = np.full(items, NONE, np.int64) if dataset.graph is None else dataset.graph.item_entity
    return Features(
        known_ids(items, log),
        text,
        attribute_table(spec, dataset.item_records, items),
        entity,
        profile_table(spec, dataset.user_records, len(dataset.users)),
    )


def known_ids(items: int, log: Log) -> NDArray[np.int64]:
    """Id embedding index of every item: row + 1 where `log` has an event of it, else 0; int64 [items]."""
    return np.where(np.bincount(log.item, minlength=items) > 0, np.arange(items) + 1, 0)


def rivals(met: NDArray[np.bool_], item: int) -> NDArray[np.bool_]:
    """Items of a list around `item`, bool [N]: all, or those without events where it has none itself, since nothing but
    what it is can be learned or seen where every known item stands before it."""
    return np.ones(len(met), bool) if met[item] else ~met
