"""Recall channels: ways to find candidates for one request."""

from app.pipeline.channels.base import Channel, ChannelRequest, SpecChannel
from app.pipeline.channels.personal import NeighbourChannel, TowerChannel
from model.bundle import Bundle

__all__ = ["Channel", "ChannelRequest", "NeighbourChannel", "SpecChannel", "spec_channels"]


def spec_channels(bundle: Bundle) -> tuple[SpecChannel, ...]:
    """The channels whose lists the bundle's ranker reads, in the spec's order."""
    return tuple(
        TowerChannel(one) if one.kind == "tower" else NeighbourChannel(one, bundle.neighbours(one.name))
        for one in bundle.spec.channels
    )
