"""Channels that read the user: the tower's nearest items, and neighbours of the newest history items."""

from dataclasses import dataclass

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
        near = request.near
        return request.allowed.search(request.vector, self.spec.size) if near is None else near.top(self.spec.size)


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
