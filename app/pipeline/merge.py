"""Many channels' lists become one list of candidates: each row once, and who offered it is remembered."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from model.features import kernels
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
        told, width = self.offered.take(places, axis=0).tobytes(), len(self.names)
        return tuple(_offering(self.names, told[at : at + width]) for at in range(0, len(told), width or 1))


@lru_cache(maxsize=4096)
def _offering(names: tuple[str, ...], offered: bytes) -> tuple[str, ...]:
    """The channels that offered an item, of all: a byte says it of each."""
    return tuple(compress(names, offered))


def merge(offers: Mapping[str, Evidence], quotas: Mapping[str, int], limit: int) -> Candidates:
    """At most `limit` candidates from the channels' lists, each cut at its quota.

    When there are more, all lists are cut at the same share of their quotas: an entry's place is its rank over its
    channel's quota, a row's place the best of its entries', and the first `limit` rows stay (ties: lower row).
    """
    quota = tuple(quotas.get(name, len(one)) for name, one in offers.items())
    room = min(sum(map(len, offers.values())), limit)
    rows, offered = np.empty(room, np.int64), np.empty((room, len(offers)), np.bool_)
    found = kernels.merge(tuple(one.rows for one in offers.values()), quota, rows, offered)
    return Candidates(rows[:found], offered[:found], tuple(offers))
