"""How each channel reads a history: decay chosen on the validation part by NDCG@10 of the channel alone."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model.data.log import ByUser
from model.features.neighbours import Neighbours
from model.features.spec import ChannelSpec
from model.train.channels import as_matrix
from model.train.metrics import MISSED, ndcg
from model.train.moments import Moments

DECAYS = (0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
SHRINKS = (200.0, 500.0, 1500.0)
SHRINK_ITEMS = 4000  # largest catalogue for which several ridge strengths are tried: each costs a dense inverse
CHUNK = 500
Ridge = Callable[[ByUser, int, float, int], Neighbours]


class Panel:
    """Moments of a log whose next item channels are asked for; what does not depend on the channel is done once.

    `met` bool [N]: items with events; one without is looked for among its like (`rivals`).
    """

    def __init__(self, moments: Moments, rows: NDArray[np.int64], met: NDArray[np.bool_]) -> None:
        self.moments, self.rows, self.met, self.items = moments, rows, met, len(met)
        self.target = moments.log.item[rows]
        seen = [moments.history(int(row)).rows for row in rows]
        self.repeat = np.asarray([target in had for target, had in zip(self.target, seen, strict=True)], bool)
        places = np.repeat(np.arange(len(rows)), [len(had) for had in seen])
        columns = np.concatenate([np.empty(0, np.int64), *seen])
        self.seen = sp.csr_matrix((np.ones(len(places), bool), (places, columns)), shape=(len(rows), self.items))

    def ranks(self, table: Neighbours, channel: ChannelSpec) -> NDArray[np.int64]:
        """Rank of each moment's item in the channel's list of unseen items, MISSED where it is not in it; [S]."""
        matrix, history = as_matrix(table), self._history(channel)
        parts = [self._ranks(history, matrix, at) for at in range(0, len(self.rows), CHUNK)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def _ranks(self, history: sp.csr_matrix, matrix: sp.csr_matrix, at: int) -> NDArray[np.int64]:
        part = slice(at, at + CHUNK)
        scores = (history[part] @ matrix).toarray()
        target = self.target[part]
        aim = np.where(self.repeat[part], 0.0, scores[np.arange(len(target)), target])
        scores[self.seen[part].nonzero()] = 0.0
        scores[~self.met[target]] *= ~self.met
        return np.where(aim > 0, (scores > aim[:, None]).sum(1), MISSED)

    def _history(self, channel: ChannelSpec) -> sp.csr_matrix:
        """Moments × items, decay^age of the newest `depth` events."""
        windows = self.moments.windows(self.rows, channel.depth)
        place, back = np.nonzero(windows.types)
        weights = channel.decay ** (channel.depth - 1.0 - back)
        return sp.csr_matrix((weights, (place, windows.rows[place, back])), shape=(len(self.rows), self.items))


def tuned_decay(panel: Panel, table: Neighbours, channel: ChannelSpec) -> tuple[float, ChannelSpec]:
    """The channel with the best decay of DECAYS (its own where all are alike), and the NDCG@10 that it then has."""
    tried = [channel, *(channel.model_copy(update={"decay": decay}) for decay in DECAYS)]
    return max(((ndcg(panel.ranks(table, one)), one) for one in tried), key=lambda found: found[0])


def tuned_ridge(
    panel: Panel, build: Ridge, log: ByUser, given: tuple[float, int], channel: ChannelSpec
) -> tuple[float, float, ChannelSpec]:
    """NDCG@10, strength and channel: several strengths are tried where the catalogue is small, else `given`'s alone."""
    shrinks: Sequence[float] = SHRINKS if panel.items <= SHRINK_ITEMS else given[:1]
    found = []
    for shrink in shrinks:
        quality, tried = tuned_decay(panel, build(log, panel.items, shrink, given[1]), channel)
        found.append((quality, shrink, tried))
    return max(found, key=lambda one: one[0])
