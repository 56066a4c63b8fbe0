"""From a user, a moment and candidate rows to the ranker's inputs: the one place, for training and for serving.

Names and shapes are those of the exported graphs (docs/architecture.md, "Graphs"). Everything is for one request: the
leading batch axis B is 1 and is added here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.events import History
from model.features.counters import ItemCounters
from model.features.neighbours import Evidence, Neighbours
from model.features.spec import ChannelSpec, FeatureSpec

Inputs: TypeAlias = dict[str, NDArray[np.float32] | NDArray[np.int64]]
RECENT = 0.9  # weight of an event, relative to the next newer one, in what a user did recently
TASTE_EVENTS = 200  # newest events whose vectors make a taste: it lasts longer than what the user tower reads
NEVER = 2.0  # how a gap reads that has no beginning: longer than any
RANK_OFFSET = 10.0  # a rank r reads as RANK_OFFSET / (RANK_OFFSET + r), 0 when the channel does not offer the item


class ItemTable(Protocol):
    """What ranking reads of the catalogue, by row; the live catalogue and plain arrays both have it."""

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Item vectors, float32 [len(rows), D]."""
        ...

    def attributes(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Attribute ids, int32 [len(rows), A], 0-padded."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayItems:
    """An ItemTable over two arrays: `vector` float32 [N, D] and `attribute` int32 [N, A]."""

    vector: NDArray[np.float32]
    attribute: NDArray[np.int32]

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Item vectors, float32 [len(rows), D]."""
        return self.vector.take(rows, axis=0)

    def attributes(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Attribute ids, int32 [len(rows), A], 0-padded."""
        return self.attribute.take(rows, axis=0)


@dataclass(frozen=True, slots=True)
class Moment:
    """A user at a moment: history (everything known strictly before), profile and context ids, time now.

    `now` is epoch seconds, NaN when unknown (untimed logs): gaps to the last event then read as unknown.
    """

    history: History
    profile: NDArray[np.int32]  # [P]
    context: NDArray[np.int64]  # [X]
    now: float


def user_tower_inputs(spec: FeatureSpec, moment: Moment, items: ItemTable) -> Inputs:
    """Inputs of user_tower.onnx with B = 1 and L = min(history, spec.history_length); L is at least 1 (padding)."""
    return _history_inputs(spec, moment, items, spec.history_length) | _user_ids(moment)


def neighbour_evidence(table: Neighbours, channel: ChannelSpec, history: History) -> Evidence:
    """What an item-to-item channel offers: neighbours of its newest events, weighted decay^age, unfiltered."""
    return Evidence.ranked(*neighbours_reached(table, channel, history))


def neighbours_reached(
    table: Neighbours, channel: ChannelSpec, history: History
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows and scores of `neighbour_evidence` in no particular order, for callers that filter before they rank."""
    return table.reached(*neighbours_asked(channel, history))


def neighbours_asked(channel: ChannelSpec, history: History) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Whose neighbours an item-to-item channel offers, and how much each counts: rows and factors."""
    rows = history.rows[max(len(history) - channel.depth, 0) :]
    return rows, powers(channel.decay, len(rows)).astype(np.float32)


def ranker_inputs(
    spec: FeatureSpec,
    moment: Moment,
    user_vector: NDArray[np.float32],
    candidates: NDArray[np.int64],
    evidence: Mapping[str, Evidence],
    items: ItemTable,
    counters: ItemCounters,
) -> Inputs:
    """Inputs of ranker.onnx for C candidates of one user (user_vector float32 [D]).

    `evidence` holds each channel's list as it was offered (filtered, cut to its size), by channel name.
    """
    vectors = items.vectors(candidates)
    made: Inputs = _history_inputs(spec, moment, items, spec.rank_history) | _user_ids(moment)
    made["user_vector"] = user_vector[None].astype(np.float32)
    made["user_features"] = user_features(spec, moment)[None]
    made["candidate_vectors"] = vectors[None]
    of_items, kinds = counters.columns(candidates), len(spec.event_types)
    columns = [
        channel_columns(spec.channels, candidates, evidence, vectors @ user_vector),
        of_items if kinds > 1 else np.delete(of_items, -2, axis=1),  # the one type's rate is always 1
        scaled_values(spec, counters.mean_values(candidates))[:, None],
        *_crosses(spec, moment.history, candidates, items),
        *_tastes(spec, moment.history, vectors, items),
    ]
    made["candidate_features"] = np.concatenate(columns, axis=1, dtype=np.float32)[None]
    return made


def candidate_feature_names(spec: FeatureSpec) -> list[str]:
    """Names of the columns of candidate_features, in order (F)."""
    names = [f"{channel.name}:{what}" for channel in spec.channels for what in ("score", "rank")]
    windows = [*(f"{half_life:g}s" for half_life in spec.half_lives), "all"]
    names += [f"share:{event}:{window}" for event in spec.event_types for window in windows]
    if len(spec.event_types) > 1:
        names += [f"rate:{event}" for event in spec.event_types]
    crosses = ("attributes", "liking", "seen", "seen_last", "taste", "taste_liking")
    return [*names, "item:age", "item:value", *(f"cross:{name}" for name in crosses)]


def user_feature_names(spec: FeatureSpec) -> list[str]:
    """Names of the columns of user_features, in order (Fu)."""
    whole = ["history:log_length", "history:value", "history:recent_value", "history:log_gap"]
    return [*whole, *(f"{what}:{one}" for what in ("habit", "recent", "log_gap") for one in spec.event_types)]


def user_features(spec: FeatureSpec, moment: Moment) -> NDArray[np.float32]:
    """What a history says of its user beyond its items, float32 [Fu].

    Of each event type: how often the user does it (log of the smoothed share among all events), the same of the newest
    events alone, and how long ago the last one was.
    """
    history, size, types = moment.history, len(moment.history), len(spec.event_types) + 1
    values = scaled_values(spec, history.values)
    newness = powers(RECENT, size)
    counts = np.bincount(history.types, minlength=types)[1:]
    recent = np.bincount(history.types, newness, minlength=types)[1:]
    last = np.full(types, np.nan)
    last[history.types] = history.times  # the newest of a type is written last
    gaps = _log_gaps(moment.now - last[1:])
    of_all = np.asarray([np.log1p(size), _mean(values, np.ones(size)), _mean(values, newness), _newest(gaps)])
    return np.concatenate([of_all, *_log_share(np.stack([counts, recent])), gaps], dtype=np.float32)


def _log_gaps(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(1 + seconds) / 10 of times since something, NEVER where it is unknown."""
    return np.where(np.isnan(gaps), NEVER, np.log1p(np.maximum(gaps, 0.0)) / 10)


def _newest(log_gaps: NDArray[np.float64]) -> float:
    """The shortest of some gaps, 0 where there is none."""
    shortest = float(log_gaps.min())
    return shortest if shortest < NEVER else 0.0


@lru_cache(maxsize=1024)
def powers(base: float, count: int) -> NDArray[np.float64]:
    """base to the powers count - 1, …, 1, 0: weights of events, oldest first; read-only."""
    made: NDArray[np.float64] = base ** np.arange(count, dtype=np.float64)[::-1]
    made.flags.writeable = False
    return made


def _log_share(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """log of smoothed shares of counts [..., E], relative to equal ones."""
    size = counts.shape[-1]
    return np.asarray(np.log((counts + 0.5) / (counts.sum(-1, keepdims=True) + 0.5 * size) * size), np.float64)


def _mean(values: NDArray[np.float32], weights: NDArray[np.float64]) -> float:
    """Weighted mean with one pseudo-value of 0.5."""
    return float((values @ weights + 0.5) / (weights.sum() + 1))


def channel_columns(
    channels: Sequence[ChannelSpec],
    candidates: NDArray[np.int64],
    evidence: Mapping[str, Evidence],
    dots: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Score and rank of each channel, [C, 2 · M]; the tower's score is exact for every candidate (`dots`)."""
    rows, places = _ascending(candidates)
    found = _looked_up(rows, [evidence.get(channel.name, Evidence.empty()) for channel in channels])[:, :, places]
    for number, channel in enumerate(channels):
        found[number, 0] = dots if channel.kind == "tower" else np.log1p(found[number, 0])
    return found.reshape(-1, len(candidates)).T


def _ascending(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64] | slice]:
    """The distinct rows, ascending, and where each row stands among them; merged candidates are so already."""
    return (rows, slice(None)) if (rows[1:] > rows[:-1]).all() else np.unique(rows, return_inverse=True)


def _looked_up(candidates: NDArray[np.int64], lists: Sequence[Evidence]) -> NDArray[np.float32]:
    """Score and rank reading of ascending candidates in each of M lists, 0 where one does not offer them; [M, 2, C]."""
    size, sizes = len(candidates), [len(one) for one in lists]
    found = np.zeros((len(lists), 2, size), np.float32)
    if size and sum(sizes):
        rows = np.concatenate([one.rows for one in lists])
        places = candidates.searchsorted(rows)
        hit = np.flatnonzero(candidates.take(places, mode="clip") == rows)
        places += np.repeat(np.arange(len(lists)) * (2 * size), sizes)
        places = places.take(hit)
        found.put(places, np.concatenate([one.scores for one in lists]).take(hit))
        found.put(places + size, np.concatenate([_rank_readings(one) for one in sizes]).take(hit))
    return found


@lru_cache(maxsize=1024)
def _rank_readings(count: int) -> NDArray[np.float32]:
    """How the ranks 0, 1, … of a list read."""
    return (RANK_OFFSET / (RANK_OFFSET + np.arange(count))).astype(np.float32)


def _history_inputs(spec: FeatureSpec, moment: Moment, items: ItemTable, length: int) -> Inputs:
    """The newest events as padded-free arrays; gap_i is the time from event i to the next one, or to now."""
    recent = moment.history.last(length)
    if not len(recent):
        return {
            "history_vectors": np.zeros((1, 1, spec.dim), np.float32),
            "history_types": np.zeros((1, 1), np.int64),
            "history_values": np.zeros((1, 1), np.float32),
            "history_gaps": np.zeros((1, 1), np.int64),
        }
    gaps = np.append(recent.times[1:], moment.now) - recent.times
    return {
        "history_vectors": items.vectors(recent.rows)[None],
        "history_types": recent.types[None],
        "history_values": scaled_values(spec, recent.values)[None],
        "history_gaps": spec.gap_ids(gaps)[None],
    }


def _user_ids(moment: Moment) -> Inputs:
    return {"profile": moment.profile[None].astype(np.int64), "context": moment.context[None]}


def scaled_values(spec: FeatureSpec, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Event values mapped to [0, 1]; 0.5 where there is none."""
    scaled = (values - spec.value_low) / max(spec.value_high - spec.value_low, 1e-9)
    bounded = np.minimum(np.maximum(scaled, 0.0), 1.0)  # np.clip takes three times as long on a few hundred numbers
    return np.where(np.isnan(values), 0.5, bounded).astype(np.float32)


def _crosses(
    spec: FeatureSpec, history: History, candidates: NDArray[np.int64], items: ItemTable
) -> list[NDArray[np.float32]]:
    """How the candidates' attributes and ids meet the history: four columns [C, 1]."""
    recent = history.last(spec.history_length)
    ids, size = items.attributes(recent.rows), spec.attribute_vocabulary
    values = np.repeat(scaled_values(spec, recent.values) - 0.5, ids.shape[1])
    told = np.ones((3, size), np.float32)  # of each attribute id: that it is one, how often it was met, how liked
    told[1], told[2] = np.bincount(ids.ravel(), None, size), np.bincount(ids.ravel(), values, size)
    told[2] /= told[1] + 1
    told[:, 0] = 0
    mine = items.attributes(candidates)
    known, overlap, liked = told.take(mine, axis=1) @ np.ones(mine.shape[1], np.float32)  # quicker than short sums
    np.maximum(known, 1, out=known)
    overlap, liked = overlap / known / np.float32(max(len(recent), 1)), liked / known
    seen = last = np.zeros(len(candidates))
    if len(recent):
        met = np.sort(recent.rows)
        seen, last = met.take(met.searchsorted(candidates), mode="clip") == candidates, candidates == recent.rows[-1]
    return [column.astype(np.float32)[:, None] for column in (overlap, liked, seen, last)]


def _tastes(
    spec: FeatureSpec, history: History, vectors: NDArray[np.float32], items: ItemTable
) -> list[NDArray[np.float32]]:
    """How near the candidates' vectors [C, D] are to the history's, and to what was valued in it: two columns."""
    recent = history.last(TASTE_EVENTS)
    weights = np.stack([np.ones(len(recent), np.float32), scaled_values(spec, recent.values) - np.float32(0.5)])
    directions = weights @ items.vectors(recent.rows) / max(len(recent), 1)
    return [column[:, None] for column in directions @ vectors.T]
