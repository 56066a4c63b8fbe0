"""Many channels' lists become one list of candidates: each row once, and who offered it is remembered."""

from collections.abc import Mapping
from dataclasses import dataclass
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

    def channels(self, place: int) -> tuple[str, ...]:
        """Names of the channels that offered one candidate."""
        return tuple(compress(self.names, self.offered[place].tolist()))


def merge(offers: Mapping[str, Evidence], quotas: Mapping[str, int], limit: int) -> Candidates:
    """At most `limit` candidates from the channels' lists, each cut at its quota.

    When there are more, all lists are cut at the same share of their quotas: an entry's place is its rank over its
    channel's quota, a row's place the best of its entries', and the first `limit` rows stay (ties: lower row).
    """
    lists = [(one.top(quotas.get(name, len(one))), quotas.get(name, len(one))) for name, one in offers.items()]
    rows, owner, places = _entries(lists)
    order = np.argsort(rows)
    rows = rows[order]
    new = np.append(True, rows[1:] != rows[:-1])[: len(rows)]  # where another row begins
    unique = rows[new]
    offered = np.zeros((len(unique), len(offers)), np.bool_)
    offered[np.cumsum(new) - 1, owner[order]] = True
    if len(unique) > limit:
        first = np.minimum.reduceat(places[order], np.flatnonzero(new))
        kept = np.sort(np.argsort(first, kind="stable")[:limit])
        unique, offered = unique[kept], offered[kept]
    return Candidates(unique, offered, tuple(offers))


def _entries(
    lists: list[tuple[Evidence, int]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All entries one after another: row, number of its channel, place = rank over quota; each [entries]."""
    sizes = [len(one) for one, _ in lists]
    owner = np.repeat(np.arange(len(lists)), sizes)
    rows = np.concatenate([np.empty(0, np.int64), *(one.rows for one, _ in lists)])
    places = np.concatenate([np.empty(0), *(np.arange(len(one)) / max(quota, 1) for one, quota in lists)])
    return rows, owner, places
