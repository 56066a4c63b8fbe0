"""Many channels' lists become one list of candidates: each row once, and who offered it is remembered."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from model.features.neighbours import Evidence


@dataclass(frozen=True, slots=True)
class Candidates:
    """rows int64 [C], ascending and unique · offered bool [C, M]: which of the M channels `names` offered each."""

    rows: NDArray[np.int64]
    offered: NDArray[np.bool_]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def channels(self, places: NDArray[np.int64]) -> tuple[tuple[str, ...], ...]:
        """Names of the channels that offered each of some candidates."""
        return tuple(tuple(compress(self.names, offered)) for offered in self.offered.take(places, axis=0).tolist())


def merge(offers: Mapping[str, Evidence], quotas: Mapping[str, int], limit: int) -> Candidates:
    """At most `limit` candidates from the channels' lists, each cut at its quota.

    When there are more, all lists are cut at the same share of their quotas: an entry's place is its rank over its
    channel's quota, a row's place the best of its entries', and the first `limit` rows stay (ties: lower row).
    """
    lists = [(one.top(quotas.get(name, len(one))), quotas.get(name, len(one))) for name, one in offers.items()]
    rows, owner, places = _entries(lists)
    order = np.argsort(rows)
    rows = rows.take(order)
    new = np.ones(len(rows), np.bool_)  # where another row begins
    np.not_equal(rows[1:], rows[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    unique = rows.take(starts)
    offered = np.zeros((len(unique), len(offers)), np.bool_)
    offered.put((np.cumsum(new) - 1) * len(offers) + owner.take(order), True)
    if len(unique) > limit:
        first = np.minimum.reduceat(places.take(order), starts)
        kept = np.sort(np.argsort(first, kind="stable")[:limit])
        unique, offered = unique.take(kept), offered.take(kept, axis=0)
    return Candidates(unique, offered, tuple(offers))


def _entries(
    lists: list[tuple[Evidence, int]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All entries one after another: row, number of its channel, place = rank over quota; each [entries]."""
    sizes = [len(one) for one, _ in lists]
    owner = np.repeat(np.arange(len(lists)), sizes)
    rows = np.concatenate([np.empty(0, np.int64), *(one.rows for one, _ in lists)])
    places = np.concatenate([np.empty(0), *(_places(len(one), quota) for one, quota in lists)])
    return rows, owner, places


@lru_cache(maxsize=1024)
def _places(count: int, quota: int) -> NDArray[np.float64]:
    """Ranks 0, 1, … over the quota."""
    return np.arange(count) / max(quota, 1)
