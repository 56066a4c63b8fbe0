"""From a user, a moment and candidate rows to the ranker's inputs: the one place, for training and for serving.

Names and shapes are those of the exported graphs (docs/architecture.md, "Graphs"), whose leading batch axis B is
added here: users that are read together are padded to the longest of them, as the graphs allow, and each reads what it
would read alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.events import History
from model.features import kernels
from model.features.contexts import Contexts
from model.features.counters import ItemCounters
from model.features.leanings import RECENT, TASTE_EVENTS, Echoes, Leanings
from model.features.neighbours import Evidence, Neighbours
from model.features.own_contexts import own_lifts
from model.features.spec import ChannelSpec, FeatureSpec

Inputs: TypeAlias = dict[str, NDArray[np.float32] | NDArray[np.int64]]
NEVER = 2.0  # how a gap reads that has no beginning: longer than any
NOTHING = Evidence.empty()
NEUTRAL = np.float32(0.5)  # where the kernel's scale of values says nothing for or against
REPEATED_EVENTS = 1000  # newest events among which a candidate is counted
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


class Judged(NamedTuple):
    """A user at a moment, the user's vector float32 [D], candidate rows int64 [C], and what the channels say of them.

    `evidence` holds each channel's list as it was offered (filtered, cut to its size) and what lies beyond, by channel
    name: a candidate's rank is that in the list, its score what the channel says of it, whoever offers it.
    """

    moment: Moment
    vector: NDArray[np.float32]
    candidates: NDArray[np.int64]
    evidence: Mapping[str, Evidence]


def user_tower_inputs(spec: FeatureSpec, moment: Moment, items: ItemTable) -> Inputs:
    """Inputs of user_tower.onnx with B = 1 and L = min(history, spec.history_length); L is at least 1 (padding)."""
    return _history_inputs(spec, [moment], items, spec.history_length) | _user_ids([moment])


def neighbour_evidence(table: Neighbours, channel: ChannelSpec, history: History) -> Evidence:
    """What an item-to-item channel offers: neighbours of its newest events, weighted decay^age, unfiltered."""
    return table.evidence(*neighbours_asked(channel, history))


def neighbours_asked(channel: ChannelSpec, history: History) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Whose neighbours an item-to-item channel offers, and how much each counts: rows and factors."""
    rows = history.rows[max(len(history) - channel.depth, 0) :]
    return rows, _factors(channel.decay, len(rows))


def ranker_inputs(
    spec: FeatureSpec,
    moment: Moment,
    user_vector: NDArray[np.float32],
    candidates: NDArray[np.int64],
    evidence: Mapping[str, Evidence],
    items: ItemTable,
    counters: ItemCounters,
    tables: Mapping[str, Echoes],
) -> Inputs:
    """`ranker_batch` of one user."""
    return ranker_batch(spec, [Judged(moment, user_vector, candidates, evidence)], items, counters, tables)


def ranker_batch(
    spec: FeatureSpec,
    judged: Sequence[Judged],
    items: ItemTable,
    counters: ItemCounters,
    tables: Mapping[str, Echoes],
) -> Inputs:
    """Inputs of ranker.onnx for B users; candidates are padded behind to the longest list, with row 0 of the catalogue.

    `tables` are the channels' own by name; one that is missing says nothing. What is read of items is read once for all
    users.
    """
    moments, size = [one.moment for one in judged], max(len(one.candidates) for one in judged)
    rows = np.zeros((len(judged), size), np.int64)
    told = np.empty((len(judged), len(user_feature_names(spec))), np.float32)
    leanings = [Leanings.of(spec, one.history, counters) for one in moments]
    for one, row, mine, leaning in zip(judged, rows, told, leanings, strict=True):
        row[: len(one.candidates)] = one.candidates
        user_features(spec, one.moment, leaning, mine)
    vectors = items.vectors(rows.reshape(-1)).reshape(len(judged), size, spec.dim)
    made: Inputs = _history_inputs(spec, moments, items, spec.rank_history) | _user_ids(moments)
    made["user_vector"] = np.stack([one.vector for one in judged]).astype(np.float32, copy=False)
    made["user_features"] = told
    made["candidate_vectors"] = vectors
    made["candidate_features"] = _candidate_features(spec, judged, rows, vectors, items, counters, leanings, tables)
    return made


def candidate_feature_names(spec: FeatureSpec) -> list[str]:
    """Names of the columns of candidate_features, in order (F)."""
    names = [f"{channel.name}:{what}" for channel in spec.channels for what in ("score", "rank")]
    windows = [*(f"{half_life:g}s" for half_life in spec.half_lives), "all"]
    names += [f"share:{event}:{window}" for event in spec.event_types for window in windows]
    if len(spec.event_types) > 1:
        names += [f"rate:{event}" for event in spec.event_types]
    crosses = ("attributes", "liking", "seen", "seen_last", "taste", "taste_liking")
    names += ["item:age", "item:value", *(f"cross:{name}" for name in crosses)]
    names += [f"{channel}:{what}" for channel in echoing(spec) for what in ("echo", "heard")]
    names += [f"context:{column.name}" for column in spec.context]
    own = spec.context if spec.own_contexts else ()
    return names + [f"own_context:{column.name}:{what}" for column in own for what in ("item", "like")]


def echoing(spec: FeatureSpec) -> list[str]:
    """Names of the channels by whose tables a user's leanings echo: where events have values, all that have one."""
    return [channel.name for channel in spec.channels if spec.valued and channel.kind == "neighbours"]


def user_feature_names(spec: FeatureSpec) -> list[str]:
    """Names of the columns of user_features, in order (Fu)."""
    whole = ["history:log_length", "history:value", "history:recent_value", "history:log_gap"]
    of_types = [f"{what}:{one}" for what in ("habit", "recent", "log_gap") for one in spec.event_types]
    return [*whole, *of_types, "history:above", "history:recently_above"]


def user_features(spec: FeatureSpec, moment: Moment, leanings: Leanings, out: NDArray[np.float32]) -> None:
    """What a history says of its user beyond its items, into `out` float32 [Fu].

    Of each event type: how often the user does it (log of the smoothed share among all events), the same of the newest
    events alone, and how long ago the last one was. And how far the user's values lie above what others think.
    """
    history = moment.history
    values = scaled_values(spec, history.values)
    kernels.habits(history.types, values, history.times, moment.now, RECENT, NEVER, len(spec.event_types), out[:-2])
    out[-2], out[-1] = leanings.above, leanings.recently


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


@lru_cache(maxsize=1024)
def _factors(decay: float, count: int) -> NDArray[np.float32]:
    """`powers` as channels count them."""
    made = powers(decay, count).astype(np.float32)
    made.flags.writeable = False
    return made


def _candidate_features(
    spec: FeatureSpec,
    judged: Sequence[Judged],
    rows: NDArray[np.int64],
    vectors: NDArray[np.float32],
    items: ItemTable,
    counters: ItemCounters,
    leanings: Sequence[Leanings],
    tables: Mapping[str, Echoes],
) -> NDArray[np.float32]:
    """The columns of `candidate_feature_names` of rows [B, C] with vectors [B, C, D], float32 [B, C, F].

    Each group is written where it belongs; what stands for padding is of no use.
    """
    of_channels, of_items = 2 * len(spec.channels), counters.width - (len(spec.event_types) == 1)
    flat, begin, heard = rows.reshape(-1), of_channels + of_items + 1, echoing(spec)
    of_context = begin + 6 + 2 * len(heard)
    of_own = of_context + len(spec.context)
    width, crosses = of_own + 2 * len(spec.context) * spec.own_contexts, slice(begin, begin + 4)
    made = np.zeros((*rows.shape, width), np.float32)
    item_columns(spec, counters, flat, made.reshape(-1, width)[:, of_channels : of_channels + of_items + 1])
    attributes = items.attributes(flat)
    attributes = attributes.reshape(*rows.shape, attributes.shape[1])
    directions = np.empty((len(judged), 3, spec.dim), np.float32)
    for one, direction, mine in zip(judged, directions, leanings, strict=True):
        direction[0] = one.vector
        _tastes(one.moment.history, items, mine.own, direction[1:])
    dots = directions @ vectors.transpose(0, 2, 1)
    for place, one in enumerate(judged):
        size = len(one.candidates)
        out = made[place, :size]
        channel_columns(spec.channels, one.candidates, one.evidence, dots[place, 0, :size], out[:, :of_channels])
        mine = leanings[place]
        _crosses(spec, one.moment.history, one.candidates, attributes[place, :size], items, mine.own, out[:, crosses])
        _echoes(heard, tables, mine, one.candidates, out[:, begin + 6 : of_context])
        if spec.context and counters.contexts is not None:
            counters.contexts.fill(one.candidates, one.moment.context, out[:, of_context:of_own])
            if spec.own_contexts:
                _own_contexts(one, counters.contexts, items, attributes[place, :size], out[:, of_context:])
    made[..., begin + 4 : begin + 6] = dots[:, 1:].transpose(0, 2, 1)
    return made


def _own_contexts(
    one: Judged,
    contexts: Contexts,
    items: ItemTable,
    attributes: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """What one's own events say in this context, behind what everybody's do, in `out` [C, 3 · X]."""
    history, columns = one.moment.history.last(REPEATED_EVENTS), len(one.moment.context)
    newest = items.attributes(history.last(TASTE_EVENTS).rows)
    lifts, asked = out[:, :columns], one.moment.context
    own_lifts(contexts, history, newest, asked, one.candidates, attributes, lifts, out[:, columns:])


def _echoes(
    names: Sequence[str],
    tables: Mapping[str, Echoes],
    leanings: Leanings,
    candidates: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """What leanings say of candidates by some channels' tables, into [C, 2 · len(names)]; 0 where there is no table."""
    for number, name in enumerate(names):
        if name in tables:
            tables[name].echoed(leanings.rows, leanings.values, leanings.own, candidates, out[:, 2 * number :][:, :2])


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


def _history_inputs(spec: FeatureSpec, moments: Sequence[Moment], items: ItemTable, length: int) -> Inputs:
    """The newest events, padded in front to the longest history; gap_i is the time from event i to the next, or to now.

    Where nobody has a history there is one padded event.
    """
    recent = [one.history.last(length) for one in moments]
    sizes = [len(one) for one in recent]
    shape = (len(recent), max(1, *sizes))
    vectors, types = np.zeros((*shape, spec.dim), np.float32), np.zeros(shape, np.int64)
    values, gaps = np.zeros(shape, np.float32), np.zeros(shape, np.int64)
    read, at = items.vectors(np.concatenate([one.rows for one in recent])), 0
    for place, (one, size) in enumerate(zip(recent, sizes, strict=True)):
        if not size:
            continue
        new = slice(shape[1] - size, None)
        vectors[place, new], types[place, new] = read[at : at + size], one.types
        kernels.scaled(one.values, spec.value_low, spec.value_high, values[place, new])
        kernels.gaps(one.times, moments[place].now, _edges(spec.gap_edges), gaps[place, new])
        at += size
    return {"history_vectors": vectors, "history_types": types, "history_values": values, "history_gaps": gaps}


def _user_ids(moments: Sequence[Moment]) -> Inputs:
    profile, context = (np.stack([getattr(one, name) for one in moments]) for name in ("profile", "context"))
    return {"profile": profile.astype(np.int64), "context": context}


def scaled_values(spec: FeatureSpec, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Event values, any shape, mapped to [0, 1]; 0.5 where there is none."""
    made = np.empty(values.shape, np.float32)
    kernels.scaled(values.reshape(-1), spec.value_low, spec.value_high, made.reshape(-1))
    return made


def _crosses(
    spec: FeatureSpec,
    history: History,
    candidates: NDArray[np.int64],
    attributes: NDArray[np.int32],
    items: ItemTable,
    own: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """How the candidates' attributes [C, A] and ids meet the history, whose newest values are `own`, into [C, 4]."""
    recent, long = history.last(spec.history_length), history.last(REPEATED_EVENTS)
    liked = own[len(own) - len(recent) :] + NEUTRAL
    kernels.crosses(long.rows, items.attributes(recent.rows), liked, candidates, attributes, out)


def _tastes(history: History, items: ItemTable, own: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Mean vector of what the history holds, and what it was to the user beside others, into `out` float32 [2, D].

    The second grows with the root of the number of events: many that point one way say more than one.
    """
    recent = history.last(TASTE_EVENTS)
    weights, size = np.ones((2, len(recent)), np.float32), max(len(recent), 1)
    weights[1] = own[len(own) - len(recent) :]
    np.matmul(weights, items.vectors(recent.rows), out=out)
    out[0] /= size
    out[1] /= size**0.5
