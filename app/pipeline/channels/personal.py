"""Channels that read the user: the tower's nearest items, and neighbours of the newest history items."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.pipeline.channels.base import ChannelRequest
from model.features.neighbours import Evidence, Neighbours
from model.features.ranking import neighbours_asked
from model.features.spec import ChannelSpec


@dataclass(frozen=True, slots=True)
class TowerChannel:
    """Items whose vectors have the highest inner product with the user vector."""

    spec: ChannelSpec

    @property
    def name(self) -> str:
        """Its name in the spec."""
        return self.spec.name

    @property
    def size(self) -> int:
        """As the spec says."""
        return self.spec.size

    def offer(self, request: ChannelRequest) -> Evidence:
        """One search inside the allowed rows."""
        return request.allowed.search(request.vector, self.spec.size)

    def offers(self, requests: Sequence[ChannelRequest]) -> list[Evidence]:
        """One search for all that have no filter and read the same view; each other one's own."""
        alike: dict[int, list[int]] = {}
        for place, one in enumerate(requests):
            alike.setdefault(id(one.allowed.view) if one.allowed.mask is None else -1 - place, []).append(place)
        found = {place: one for places in alike.values() for place, one in self._found(requests, places)}
        return [found[place] for place in range(len(requests))]

    def _found(self, requests: Sequence[ChannelRequest], places: Sequence[int]) -> Iterable[tuple[int, Evidence]]:
        some = [requests[place] for place in places]
        if len(some) == 1:
            return [(places[0], self.offer(some[0]))]
        vectors = np.stack([one.vector for one in some])
        view, excluded = some[0].allowed.view, [one.allowed.excluded for one in some]
        return zip(places, view.search_many(vectors, self.spec.size, excluded), strict=True)


@dataclass(frozen=True, slots=True)
class NeighbourChannel:
    """Neighbours of the newest history items, an event counting `decay` of the next newer one."""

    spec: ChannelSpec
    table: Neighbours

    @property
    def name(self) -> str:
        """Its name in the spec."""
        return self.spec.name

    @property
    def size(self) -> int:
        """As the spec says."""
        return self.spec.size

    def offer(self, request: ChannelRequest) -> Evidence:
        """The same lookup as in training, then the best of what is allowed."""
        asked = neighbours_asked(self.spec, request.moment.history)
        return self.table.best(*asked, self.spec.size, *request.allowed.rule)

    def offers(self, requests: Sequence[ChannelRequest]) -> list[Evidence]:
        """One lookup after another."""
        return [self.offer(one) for one in requests]
