"""Peers trained in the same run on the same rows: popularity, item-kNN, EASE; each a users × items score."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.data.log import ByUser
from model.features.neighbours import Neighbours
from model.features.spec import ChannelSpec
from model.train.channels import cosine, ease, interaction_matrix
from model.train.metrics import MISSED
from model.train.moments import Moments
from model.train.tune import Panel

Ranks: TypeAlias = Callable[[Moments, NDArray[np.int64]], NDArray[np.int64]]
DEPTH = 500  # a peer without order reads a history whole
EASE_ITEMS = 20_000
EASE_KEEP = 1_000  # neighbours of an item: with all of them a catalogue of 17,000 items took more than 20 GB


def make_baselines(log: ByUser, items: int) -> Mapping[str, Ranks]:
    """Name → ranks of the rows' items among all the user has not had; EASE only where its inverse fits."""
    x = interaction_matrix(log, items)
    found = {"popularity": popularity(log, items), "item-kNN": _by_table(cosine(x, 10.0, 100))}
    if items <= EASE_ITEMS:
        found["EASE"] = _by_table(ease(log, items, 250.0, EASE_KEEP))
    return found


def popularity(log: ByUser, items: int) -> Ranks:
    """The items with most events first."""
    counts = np.bincount(log.log.item, minlength=items).astype(np.float64)

    def ranks(moments: Moments, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray([_rank(counts, moments, int(row)) for row in rows], np.int64)

    return ranks


def _rank(counts: NDArray[np.float64], moments: Moments, row: int) -> int:
    target, seen = int(moments.log.item[row]), moments.had(row)
    if target in seen:
        return int(MISSED)
    better = counts > counts[target]
    better[:target] |= counts[:target] == counts[target]
    return int(better.sum() - better[np.unique(seen)].sum())


def _by_table(table: Neighbours) -> Ranks:
    reader = ChannelSpec(name="peer", kind="neighbours", decay=1.0, depth=DEPTH)

    def ranks(moments: Moments, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return Panel(moments, rows, np.ones(len(table), bool)).ranks(table, reader)

    return ranks
