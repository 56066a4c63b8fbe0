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
from model.features import kernels
from model.features.counters import ItemCounters
from model.features.neighbours import Evidence, Neighbours
from model.features.spec import ChannelSpec, FeatureSpec

Inputs: TypeAlias = dict[str, NDArray[np.float32] | NDArray[np.int64]]
RECENT = 0.9  # weight of an event, relative to the next newer one, in what a user did recently
TASTE_EVENTS = 200  # newest events whose vectors make a taste: it lasts longer than what the user tower reads
NEVER = 2.0  # how a gap reads that has no beginning: longer than any
NOTHING = Evidence.empty()
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
    return table.evidence(*neighbours_asked(channel, history))


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

    `evidence` holds each channel's list as it was offered (filtered, cut to its size) and what lies beyond, by channel
    name: a candidate's rank is that in the list, its score what the channel says of it, whoever offers it.
    """
    vectors = items.vectors(candidates)
    made: Inputs = _history_inputs(spec, moment, items, spec.rank_history) | _user_ids(moment)
    made["user_vector"] = user_vector[None].astype(np.float32)
    made["user_features"] = user_features(spec, moment)[None]
    made["candidate_vectors"] = vectors[None]
    made["candidate_features"] = _candidate_features(
        spec, moment, user_vector, vectors, candidates, evidence, items, counters
    )[None]
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
    history, kinds = moment.history, len(spec.event_types)
    made = np.empty(4 + 3 * kinds, np.float32)
    values = scaled_values(spec, history.values)
    kernels.habits(history.types, values, history.times, moment.now, RECENT, NEVER, kinds, made)
    return made


@lru_cache(maxsize=64)
def _edges(edges: tuple[float, ...]) -> NDArray[np.float64]:
    """Edges of the gaps' buckets as an array."""
    return np.asarray(edges, np.float64)


@lru_cache(maxsize=1024)
def powers(base: float, count: int) -> NDArray[np.float64]:
    """base to the powers count - 1, …, 1, 0: weights of events, oldest first; read-only."""
    made: NDArray[np.float64] = base ** np.arange(count, dtype=np.float64)[::-1]
    made.flags.writeable = False
    return made


def _candidate_features(
    spec: FeatureSpec,
    moment: Moment,
    user_vector: NDArray[np.float32],
    vectors: NDArray[np.float32],
    candidates: NDArray[np.int64],
    evidence: Mapping[str, Evidence],
    items: ItemTable,
    counters: ItemCounters,
) -> NDArray[np.float32]:
    """The columns of `candidate_feature_names`, float32 [C, F], each group written where it belongs."""
    of_channels, of_items = 2 * len(spec.channels), counters.width - (len(spec.event_types) == 1)
    made = np.empty((len(candidates), of_channels + of_items + 7), np.float32)
    directions = np.concatenate([user_vector[None], _tastes(spec, moment.history, items)])
    dots, *tastes = directions.astype(np.float32, copy=False) @ vectors.T
    channel_columns(spec.channels, candidates, evidence, dots, made[:, :of_channels])
    item_columns(spec, counters, candidates, made[:, of_channels : of_channels + of_items + 1])
    _crosses(spec, moment.history, candidates, items, made[:, -6:-2])
    made[:, -2], made[:, -1] = tastes
    return made


def channel_columns(
    channels: Sequence[ChannelSpec],
    candidates: NDArray[np.int64],
    evidence: Mapping[str, Evidence],
    dots: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Score and rank of each channel into `out` [C, 2 · M]; the tower's scores are `dots`, of every candidate."""
    lists = [evidence.get(channel.name, NOTHING) for channel in channels]
    rows, scores = tuple(one.rows for one in lists), tuple(one.scores for one in lists)
    beyond, beyond_scores = tuple(one.beyond for one in lists), tuple(one.beyond_scores for one in lists)
    kernels.evidence(candidates, rows, scores, beyond, beyond_scores, RANK_OFFSET, out)
    for number, channel in enumerate(channels):
        if channel.kind == "tower":
            out[:, 2 * number] = dots


def item_columns(spec: FeatureSpec, counters: ItemCounters, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    """What counters say of items into `out`: shares, rates, age and mean value."""
    if len(spec.event_types) > 1:
        counters.fill(rows, out[:, :-1])
    else:  # the one type's rate is always 1
        out[:, :-1] = np.delete(counters.columns(rows), -2, axis=1)
    counters.fill_values(rows, spec.value_low, spec.value_high, out[:, -1:])


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
    gaps = np.empty(len(recent), np.int64)
    kernels.gaps(recent.times, moment.now, _edges(spec.gap_edges), gaps)
    return {
        "history_vectors": items.vectors(recent.rows)[None],
        "history_types": recent.types[None],
        "history_values": scaled_values(spec, recent.values)[None],
        "history_gaps": gaps[None],
    }


def _user_ids(moment: Moment) -> Inputs:
    return {"profile": moment.profile[None].astype(np.int64), "context": moment.context[None]}


def scaled_values(spec: FeatureSpec, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Event values, any shape, mapped to [0, 1]; 0.5 where there is none."""
    made = np.empty(values.shape, np.float32)
    kernels.scaled(values.reshape(-1), spec.value_low, spec.value_high, made.reshape(-1))
    return made


def _crosses(
    spec: FeatureSpec,
    history: History,
    candidates: NDArray[np.int64],
    items: ItemTable,
    out: NDArray[np.float32],
) -> None:
    """How the candidates' attributes and ids meet the history, into four columns [C, 4]."""
    recent = history.last(spec.history_length)
    values = scaled_values(spec, recent.values)
    kernels.crosses(recent.rows, items.attributes(recent.rows), values, candidates, items.attributes(candidates), out)


def _tastes(spec: FeatureSpec, history: History, items: ItemTable) -> NDArray[np.float32]:
    """Mean vector of what the history holds, and of it weighed by how it was valued, float32 [2, D]."""
    recent = history.last(TASTE_EVENTS)
    weights = np.ones((2, len(recent)), np.float32)
    kernels.scaled(recent.values, spec.value_low, spec.value_high, weights[1])
    weights[1] -= np.float32(0.5)
    made: NDArray[np.float32] = weights @ items.vectors(recent.rows)
    made /= max(len(recent), 1)
    return made
