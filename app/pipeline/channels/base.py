"""What a recall channel is: something that, for one request, offers rows with scores, best first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.pipeline.allowed import Allowed
from model.features.neighbours import Evidence
from model.features.ranking import Moment


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """What channels read: the user at a moment, its vector f32 [D], what is allowed, and the query's text vector."""

    moment: Moment
    vector: NDArray[np.float32]
    allowed: Allowed
    context: Mapping[str, str]
    query: NDArray[np.float32] | None = None


class Channel(Protocol):
    """One way to find candidates; every implementation passes tests/contracts/test_channel_contract.py."""

    @property
    def name(self) -> str:
        """How the answer names it."""
        ...

    @property
    def size(self) -> int:
        """The longest list it offers."""
        ...

    def offer(self, request: ChannelRequest) -> Evidence:
        """Only allowed rows, each once, at most `size`, score descending, then row; the same for the same request."""
        ...


class SpecChannel(Channel, Protocol):
    """A channel whose lists the ranker reads: asked for all requests that came together."""

    def offers(self, requests: Sequence[ChannelRequest]) -> list[Evidence]:
        """`offer` of each request."""
        ...
