"""Which item → item tables a data set gets, how strong they are regularised, and how they read a history."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from model.config import Training
from model.data.log import ByUser, Dataset
from model.features.neighbours import Neighbours
from model.features.spec import ChannelSpec, FeatureSpec
from model.train.alike import MOST_ITEMS, content_neighbours
from model.train.arrays import Features
from model.train.channels import cooccurrence, ease
from model.train.metrics import ndcg
from model.train.moments import Moments
from model.train.shared import shared_neighbours
from model.train.tune import SHRINK_ITEMS, Panel, tuned_decay, tuned_ridge

OF_CONTENT = ("graph", "content")  # channels that know items without events


class TableMaker:
    """Makes the tables of all neighbour channels from a log; what does not depend on the log is made once."""

    def __init__(self, settings: Training, dataset: Dataset, features: Features) -> None:
        self.settings, self.dataset, self.items = settings, dataset, len(dataset.items)
        self.shrink = settings.channel("ease").shrink
        self.features, self.kept = features, dict[str, Neighbours]()

    def renew(self, features: Features) -> None:
        """From here on other items are known."""
        self.features, self.kept = features, {}

    def make(
        self, spec: FeatureSpec, log: ByUser, given: Mapping[str, Neighbours] | None = None
    ) -> dict[str, Neighbours]:
        """The table of every neighbour channel of the spec; those in `given` are taken as they are."""
        names = [channel.name for channel in spec.channels if channel.kind != "tower"]
        return {name: given[name] if given and name in given else self.table(name, log) for name in names}

    def costly(self, spec: FeatureSpec, log: ByUser) -> dict[str, Neighbours]:
        """Tables too costly to make for every fold, made once of `log`: EASE where the catalogue is large."""
        wanted = self.items > SHRINK_ITEMS and any(channel.name == "ease" for channel in spec.channels)
        return {"ease": self.table("ease", log)} if wanted else {}

    def of_content(self, spec: FeatureSpec) -> dict[str, Neighbours]:
        """The tables that read no events."""
        names = [channel.name for channel in spec.channels if channel.name in OF_CONTENT]
        return {name: self._kept(name) for name in names}

    def table(self, name: str, log: ByUser) -> Neighbours:
        """One channel's table."""
        one = self.settings.channel(name)
        if name == "cooccurrence":
            return cooccurrence(log, self.items, one.window, one.keep)
        if name == "ease":
            return ease(log, self.items, self.shrink, one.keep)
        return self._kept(name)

    def _kept(self, name: str) -> Neighbours:
        if name not in self.kept:
            self.kept[name] = self._of_content(name)
        return self.kept[name]

    def _of_content(self, name: str) -> Neighbours:
        """The table of a channel that reads no events: what items share, or all of their content together."""
        if name == "content" and self.items <= MOST_ITEMS:
            return content_neighbours(self.features, self.dataset.graph, self.settings)
        return shared_neighbours(self.dataset, self.features.attributes, self.settings.channel(name).keep)

    def tune(
        self, spec: FeatureSpec, log: ByUser, moments: Moments, rows: NDArray[np.int64]
    ) -> tuple[tuple[ChannelSpec, ...], dict[str, dict[str, float]]]:
        """Channels with the decay (and EASE's strength) that is best on the rows, and what they reach alone."""
        if not len(rows):
            return spec.channels, {}
        panel, found, figures = Panel(moments, rows, self.features.known), [], {}
        for channel in spec.channels:
            quality, chosen = (0.0, channel) if channel.kind == "tower" else self._tuned(channel, log, panel)
            found.append(chosen)
            if channel.kind != "tower":
                figures[channel.name] = {"ndcg@10": quality, "decay": chosen.decay}
        return tuple(found), figures

    def _tuned(self, channel: ChannelSpec, log: ByUser, panel: Panel) -> tuple[float, ChannelSpec]:
        if channel.name == "content":  # whether something new is wanted at all is not told by what comes next
            return ndcg(panel.ranks(self.table(channel.name, log), channel)), channel
        if channel.name != "ease":
            return tuned_decay(panel, self.table(channel.name, log), channel)
        given = (self.shrink, self.settings.channel("ease").keep)
        quality, self.shrink, chosen = tuned_ridge(panel, ease, log, given, channel)
        return quality, chosen
