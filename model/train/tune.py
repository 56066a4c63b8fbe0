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
MOMENTS = 3000


def channel_ranks(
    table: Neighbours, channel: ChannelSpec, moments: Moments, rows: NDArray[np.int64], chunk: int = 500
) -> NDArray[np.int64]:
    """Rank of each row's item in the channel's list of unseen items, MISSED where it is not in it; [S]."""
    matrix = as_matrix(table)
    parts = [_ranks(matrix, channel, moments, rows[at : at + chunk]) for at in range(0, len(rows), chunk)]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _ranks(matrix: sp.csr_matrix, channel: ChannelSpec, moments: Moments, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    windows = moments.windows(rows, channel.depth)
    place, back = np.nonzero(windows.types)
    weights = channel.decay ** (channel.depth - 1 - back)
    shape = (len(rows), matrix.shape[0])
    scores = (sp.csr_matrix((weights, (place, windows.rows[place, back])), shape=shape) @ matrix).toarray()
    target = moments.log.item[rows]
    aim = scores[np.arange(len(rows)), target]
    for number, row in enumerate(rows):
        seen = moments.history(int(row)).rows
        aim[number] = 0.0 if target[number] in seen else aim[number]
        scores[number, seen] = 0.0
    return np.where(aim > 0, (scores > aim[:, None]).sum(1), MISSED)


def tuned_decay(
    table: Neighbours, channel: ChannelSpec, moments: Moments, rows: NDArray[np.int64]
) -> tuple[float, ChannelSpec]:
    """The best decay of DECAYS for a channel, and the NDCG@10 it has on `rows`."""
    found = []
    for decay in DECAYS:
        tried = channel.model_copy(update={"decay": decay})
        found.append((ndcg(channel_ranks(table, tried, moments, rows)), tried))
    return max(found, key=lambda one: one[0])


def tuned_shrink(
    build: Callable[[ByUser, int, float, int], Neighbours],
    log: ByUser,
    items: int,
    given: tuple[float, int],
    channel: ChannelSpec,
    moments: Moments,
    rows: NDArray[np.int64],
) -> tuple[float, ChannelSpec]:
    """Strength and decay for EASE: tried together where the catalogue is small, else `given` with a tuned decay."""
    shrinks: Sequence[float] = SHRINKS if items <= SHRINK_ITEMS else (given[0],)
    found = []
    for shrink in shrinks:
        quality, tried = tuned_decay(build(log, items, shrink, given[1]), channel, moments, rows)
        found.append((quality, shrink, tried))
    _, shrink, tried = max(found, key=lambda one: one[0])
    return shrink, tried
