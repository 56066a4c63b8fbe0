"""Item counters of a whole log at once, equal to adding its events one by one."""

import numpy as np
from numpy.typing import NDArray

from model.data.log import Log
from model.features.counters import ItemCounters
from model.features.spec import FeatureSpec


def count(spec: FeatureSpec, items: int, log: Log) -> ItemCounters:
    """Counters as of the end of a log."""
    made = ItemCounters.empty(items, len(spec.event_types), spec.half_lives)
    timed = ~np.isnan(log.time)
    np.maximum.at(made.newest, log.item[timed], log.time[timed])
    np.minimum.at(made.first, log.item[timed], log.time[timed])
    made.total_newest = float(log.time[timed].max(initial=-np.inf))
    for window, half_life in enumerate(made.half_lives.tolist()):
        made.counts[:, :, window] = _decayed(log, made.newest[log.item], half_life, made.counts.shape[:2])
        whole = _decayed(log, np.full(len(log), made.total_newest), half_life, made.counts.shape[:2])
        made.total[:, window] = whole.sum(0)
    told = ~np.isnan(log.value)
    made.value_sum += np.bincount(log.item[told], log.value[told], items)
    made.value_count += np.bincount(log.item[told], minlength=items)
    return made


def _decayed(log: Log, until: NDArray[np.float64], half_life: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Events of each item and type, [N, E], each 2^-(age / half-life) at `until` [n]; untimed ones never decay."""
    items, types = shape
    undecayed = float(np.isinf(half_life))
    age = np.where(np.isnan(log.time), 0.0, until - log.time)
    weight = np.where(np.isnan(log.time), undecayed, np.exp2(-age / half_life))
    flat = np.asarray(np.bincount(log.item * types + log.type - 1, weight, items * types), np.float64)
    return flat.reshape(items, types)
