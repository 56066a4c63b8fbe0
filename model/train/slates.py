"""Slates: a user at a moment, what happened then, and what the channels would have offered instead."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from model.data.log import Log
from model.events import History
from model.features.again import once_more
from model.features.contexts import Contexts
from model.features.counters import ItemCounters
from model.features.leanings import Echoes
from model.features.neighbours import Evidence, Neighbours
from model.features.ranking import (
    ArrayItems,
    Moment,
    candidate_feature_names,
    neighbours_asked,
    ranker_inputs,
    user_feature_names,
)
from model.features.spec import FeatureSpec
from model.train.arrays import rivals
from model.train.beside import Beside
from model.train.counting import count
from model.train.guises import Guised, in_guises, inserted, nameless, renamed
from model.train.moments import PAD, Moments
from model.train.tables import OF_CONTENT

POSITIVE, OFFERED, RANDOM, JUDGED, EMPTY = 1, 2, 3, 4, 0  # role of a candidate


@dataclass(frozen=True, slots=True)
class Slates:
    """S slates of C candidates (PAD-padded), everything the ranker reads but the vectors.

    row int64 [S] (row of the log) · user int64 [S] · candidates int64 [S, C] · role int8 [S, C] · labels float32
    [S, C, T] (NaN: unlabelled) · features float32 [S, C, F] · user_features float32 [S, Fu] · user_vector float32
    [S, D] · profile int32 [S, P] · context int64 [S, X] · history: windows of rank_history events · fresh bool [S]
    (a list could hold the positive: it was not in the history, or what was is offered again) · offered bool [S] (a
    channel offered it) · log_chance float32 [S, C] (log of how often the candidate is drawn into such a slate, 0 where
    nothing is drawn).
    """

    row: NDArray[np.int64]
    user: NDArray[np.int64]
    candidates: NDArray[np.int64]
    role: NDArray[np.int8]
    labels: NDArray[np.float32]
    features: NDArray[np.float32]
    user_features: NDArray[np.float32]
    user_vector: NDArray[np.float32]
    profile: NDArray[np.int32]
    context: NDArray[np.int64]
    rows: NDArray[np.int64]
    types: NDArray[np.int64]
    values: NDArray[np.float32]
    gaps: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    offered: NDArray[np.bool_]
    log_chance: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, places: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Slates":
        """Some of the slates."""
        return Slates(**{one.name: getattr(self, one.name)[places] for one in fields(self)})

    def replaced(self, **columns: NDArray[Any]) -> "Slates":
        """The same slates with some columns exchanged."""
        return replace(self, **columns)

    @classmethod
    def concatenate(cls, parts: Iterable["Slates"]) -> "Slates":
        """Slates of equal width, one after the other."""
        many = list(parts)
        return cls(**{one.name: np.concatenate([getattr(part, one.name) for part in many]) for one in fields(cls)})


class _Made(NamedTuple):
    """One slate before padding; its first candidates are the items of the rows `labelled`, whose labels they get."""

    labelled: NDArray[np.int64]
    candidates: NDArray[np.int64]  # [c]
    role: NDArray[np.int8]  # [c]
    features: NDArray[np.float32]  # [c, F]
    user_features: NDArray[np.float32]  # [Fu]
    fresh: bool
    offered: bool
    log_chance: NDArray[np.float32] | float = 0.0  # [c]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What slates may know: channel tables (a missing one offers nothing), counters, items.

    Without `counters` they are replayed up to each moment: `timeline` are the rows for that, in time order. `met`
    bool [N]: items that have events. `contexts` know what the tables know. `items` may hold more than N rows: row N + i
    is item i as it would be if it were put at run time, row 2 N + i as it is without its id (see `model.train.guises`).
    """

    tables: Mapping[str, Neighbours]
    counters: ItemCounters | None
    timeline: Log | None
    items: ArrayItems
    met: NDArray[np.bool_]
    contexts: Contexts | None = None

    @property
    def guised(self) -> dict[str, Echoes]:
        """The tables as they read items in guises: those of content know what stands there without its id."""
        size = len(self.met)
        return {name: Guised(one, size) if name in OF_CONTENT else one for name, one in self.tables.items()}


@dataclass(frozen=True, slots=True)
class Draw:
    """How many candidates a slate gets beside its positive: from the channels' merged lists, and at random."""

    offered: int
    random: int
    newcomers: float = 0.0  # share of candidates that stand there as newcomers
    nameless: bool = False  # all candidates stand there without their ids
    wanted: int = 1  # most positives of a list that is played cold
    whole: bool = False  # the whole merged list as it is served, best `offered` of it, instead of a sample
    again: bool = False  # what its user had is offered too where a list looks for what the user does again


class SlateBuilder:
    """Builds slates for rows of a log."""

    def __init__(
        self, spec: FeatureSpec, moments: Moments, context: NDArray[np.int64], profile: NDArray[np.int32], draw: Draw
    ) -> None:
        self.spec, self.moments, self.context, self.profile, self.draw = spec, moments, context, profile, draw

    def build(
        self,
        rows: NDArray[np.int64],
        user_vectors: NDArray[np.float32],
        knowledge: Knowledge,
        generator: np.random.Generator,
        label: str = "slates",
        cold: NDArray[np.bool_] | None = None,
    ) -> Slates:
        """Slates of log rows in time order (their user vectors [S, D] beside them).

        With `cold` (bool [N]) lists are of those items alone, the moments' log asks about nothing else, and a list
        looks for some of all that its user did with them then or later.
        """
        counters, beside, made = Replay(self.spec, knowledge), Beside(self.spec), list[_Made]()
        ahead = [rows[at : at + 1] for at in range(len(rows))] if cold is None else self.moments.onwards(rows)
        for place in tqdm(range(len(rows)), desc=label, mininterval=2, disable=len(rows) < 2000):
            counters.until(float(self.moments.log.time[rows[place]]))
            row, vector = int(rows[place]), user_vectors[place]
            made.append(self._one(row, ahead[place], vector, knowledge, counters.counters, beside, generator, cold))
        return self._packed(rows, user_vectors, made, 1 + self.draw.offered + self.draw.random)

    def judge(
        self, groups: Sequence[NDArray[np.int64]], user_vectors: NDArray[np.float32], knowledge: Knowledge, label: str
    ) -> Slates:
        """Slates of groups of rows in time order, each of one user at one moment, as of `moment_groups`.

        Their candidates are the rows' own items and nothing else: no list, but labels that a user gave.
        """
        counters, made = Replay(self.spec, knowledge), []
        for place in tqdm(range(len(groups)), desc=label, mininterval=2, disable=len(groups) < 2000):
            counters.until(float(self.moments.log.time[groups[place][0]]))
            made.append(self._judged(groups[place], user_vectors[place], knowledge, counters.counters))
        width = max((len(group) for group in groups), default=1)
        return self._packed(firsts(groups), user_vectors, made, width)

    def _judged(
        self, group: NDArray[np.int64], vector: NDArray[np.float32], known: Knowledge, counters: ItemCounters
    ) -> _Made:
        """The items of some rows of one moment, as `polyrank score` reads them."""
        history, candidates = self.moments.history(int(group[0])), self.moments.log.item[group]
        allowed = np.ones(len(known.met), bool)
        allowed[history.rows] = False
        evidence = self.evidence(history, vector, known, allowed)
        moment = self.moment(int(group[0]), history)
        made = ranker_inputs(self.spec, moment, vector, candidates, evidence, known.items, counters, known.tables)
        roles = np.full(len(group), JUDGED, np.int8)
        return _Made(group, candidates, roles, made["candidate_features"][0], made["user_features"][0], False, False)

    def moment(self, row: int, history: History) -> Moment:
        """The moment of a row, as the ranker's inputs are made of it."""
        user, now = self.moments.log.user[row], float(self.moments.now(np.asarray([row]))[0])
        return Moment(history, self.profile[user], self.context[row], now)

    def _one(
        self,
        row: int,
        ahead: NDArray[np.int64],
        vector: NDArray[np.float32],
        known: Knowledge,
        counters: ItemCounters,
        beside: Beside,
        generator: np.random.Generator,
        cold: NDArray[np.bool_] | None,
    ) -> _Made:
        """Candidates, roles, features, user features of one moment, and whether its positive is new to the user."""
        history, had = self.moments.history(row), self.moments.had(row)
        events, positive = self._wanted(row, ahead, had, generator), int(self.moments.log.item[row])
        open_ = rivals(known.met, positive) if cold is None else cold
        allowed, again = open_.copy(), self.draw.again and positive in had
        allowed[had] = False
        evidence = self.evidence(history, vector, known, allowed)
        more = beside.offers(counters, vector, known.items, allowed) if cold is None else {}
        more |= {"again": once_more(had)} if again else {}
        fresh, offers = again or positive not in had, merged({**evidence, **more})
        pools, among = [offers] if self.draw.whole or not again else parted(offers, had), open_ if again else allowed
        candidates, roles, chances = self._candidates(events, ahead, pools, among, generator)
        if self.draw.newcomers or self.draw.nameless:
            candidates = self._guised(candidates, len(allowed), generator)
            evidence = self.with_newcomers(evidence, candidates[candidates >= len(allowed)], vector, known)
        moment = self.moment(row, history)
        made = ranker_inputs(self.spec, moment, vector, candidates, evidence, known.items, counters, known.guised)
        features, of_user = made["candidate_features"][0], made["user_features"][0]
        return _Made(events, candidates, roles, features, of_user, fresh, positive in offers, chances)

    def evidence(
        self, history: History, vector: NDArray[np.float32], known: Knowledge, allowed: NDArray[np.bool_]
    ) -> dict[str, Evidence]:
        """Every channel's list as it would be served: unseen items only, cut to its size."""
        found = {}
        for channel in self.spec.channels:
            if channel.kind == "tower":
                found[channel.name] = best(known.items.vector[: len(allowed)] @ vector, allowed, channel.size)
            elif channel.name in known.tables:
                asked = neighbours_asked(channel, history)
                found[channel.name] = known.tables[channel.name].best(*asked, channel.size, allowed)
        return found

    def with_newcomers(
        self, evidence: Mapping[str, Evidence], rows: NDArray[np.int64], vector: NDArray[np.float32], known: Knowledge
    ) -> dict[str, Evidence]:
        """The lists with newcomers where channels that do not need events have them.

        The towers place every one by its vector; those of content offer what stands in the catalogue where it stands.
        """
        size, found = len(known.met), dict(evidence)
        for channel in self.spec.channels:
            if channel.kind == "tower":
                scores = known.items.vectors(rows) @ vector
                found[channel.name] = inserted(evidence[channel.name], rows, scores, channel.size)
            elif channel.name in OF_CONTENT and channel.name in evidence:
                found[channel.name] = renamed(evidence[channel.name], rows[rows >= 2 * size], size)
        return found

    def _guised(self, candidates: NDArray[np.int64], size: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Candidates as the draw wants them: all without their ids, or some as newcomers."""
        if self.draw.nameless:
            return nameless(candidates, size)
        return in_guises(candidates, size, self.draw.newcomers, generator)

    def _wanted(
        self, row: int, ahead: NDArray[np.int64], had: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """The row, then some of the rows `ahead` whose items are new to the user, each item once."""
        item = self.moments.log.item
        items, first = np.unique(item[ahead], return_index=True)
        others = ahead[first[~np.isin(items, had) & (items != item[row])]]
        return np.append(row, generator.permutation(others)[: self.draw.wanted - 1])

    def _candidates(
        self,
        events: NDArray[np.int64],
        ahead: NDArray[np.int64],
        pools: Sequence[NDArray[np.int64]],
        allowed: NDArray[np.bool_],
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.float32]]:
        """The items of `events`, some of what is offered, some of the rest; none that is wanted all the same.

        Pools of what is offered have equal shares, the last one what others leave. With the items their roles, and the
        log of how often each is drawn (the positives: if nobody wanted them).
        """
        positives, rest = self.moments.log.item[events], allowed.copy()
        rest[self.moments.log.item[ahead]] = False
        room, some, chosen = max(self.draw.offered + 1 - len(events), 0), list[NDArray[np.int64]](), list[float]()
        for left, pool in zip(range(len(pools), 0, -1), pools, strict=True):
            free, most = pool[rest[pool]], (room - sum(map(len, some))) // left
            whole = self.draw.whole or len(free) <= most
            some.append(free[:most] if whole else generator.choice(free, most, replace=False))
            chosen.append(len(some[-1]) / max(len(free), 1))
        drawn = generator.integers(0, len(rest), 2 * self.draw.random)
        drawn = drawn[rest[drawn]][: self.draw.random]
        roles = np.repeat([POSITIVE, OFFERED, RANDOM], [len(events), sum(map(len, some)), len(drawn)])
        candidates = np.concatenate([positives, *some, drawn])
        at_random = max(self.draw.random, 1) * min(2 / len(rest), 1 / max(int(rest.sum()), 1))
        of_pools = [np.isin(candidates, pool) * often for pool, often in zip(pools, chosen, strict=True)]
        chances = at_random + np.sum(of_pools, axis=0)
        return candidates, roles.astype(np.int8), np.log(np.minimum(chances, 1.0)).astype(np.float32)

    def _packed(self, rows: NDArray[np.int64], vectors: NDArray[np.float32], made: list[_Made], width: int) -> Slates:
        """Everything as padded arrays, with the labels of the rows."""
        log, count = self.moments.log, len(rows)
        windows = self.moments.windows(rows, self.spec.rank_history)
        candidates = np.full((count, width), PAD, np.int64)
        role = np.zeros((count, width), np.int8)
        features = np.zeros((count, width, len(candidate_feature_names(self.spec))), np.float32)
        labels = np.full((count, width, log.labels.shape[1]), np.nan, np.float32)
        chances = np.zeros((count, width), np.float32)
        for place, one in enumerate(made):
            size = len(one.candidates)
            candidates[place, :size], role[place, :size] = one.candidates, one.role
            features[place, :size], chances[place, :size] = one.features, one.log_chance
            labels[place, : len(one.labelled)] = log.labels[one.labelled]
        of_user = np.zeros((count, len(user_feature_names(self.spec))), np.float32)
        of_user[:] = [one.user_features for one in made] if made else of_user
        fresh, offered = (np.asarray([getattr(one, name) for one in made], bool) for name in ("fresh", "offered"))
        return Slates(
            rows, log.user[rows], candidates, role, labels, features, of_user, vectors,
            self.profile[log.user[rows]], self.context[rows],
            windows.rows, windows.types, windows.values, windows.gaps, fresh, offered, chances,
        )  # fmt: skip


def firsts(groups: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The first row of each group, int64 [G]."""
    return np.asarray([group[0] for group in groups], np.int64)


def moment_groups(
    moments: Moments, context: NDArray[np.int64], rows: NDArray[np.int64], most: int
) -> list[NDArray[np.int64]]:
    """`rows` by moment (user, time, history, context ids [n, X]), at most `most` together, in time order."""
    log = moments.log
    time = np.nan_to_num(log.time[rows], nan=-np.inf)
    keys = np.column_stack(
        [np.unique(time, return_inverse=True)[1], log.user[rows], moments.place[rows], context[rows]]
    )
    _, group = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    parts = np.split(rows[order], np.cumsum(np.bincount(group.ravel()))[:-1]) if len(rows) else []
    return [part[at : at + most] for part in parts for at in range(0, len(part), most)]


class Replay:
    """Counters at each moment: fixed ones as they are, or the timeline's events counted up to the moment."""

    def __init__(self, spec: FeatureSpec, knowledge: Knowledge) -> None:
        self.spec, self.log = spec, knowledge.timeline if knowledge.counters is None else None
        self.counters = knowledge.counters or ItemCounters.empty(
            len(knowledge.met), len(spec.event_types), spec.half_lives
        )
        self.counters.contexts, self.contexts = knowledge.contexts, knowledge.contexts
        self.at = 0

    def until(self, time: float) -> None:
        """Count the timeline's events before `time`, strictly; moments must come in time order."""
        log = self.log
        if log is not None and not self.at:  # what lies before the first moment is counted at once
            self.at = int(np.searchsorted(log.time, time))
            self.counters = count(self.spec, len(self.counters), log.take(slice(self.at)))
            self.counters.contexts = self.contexts
        while log is not None and self.at < len(log) and log.time[self.at] < time:
            at = self.at
            self.counters.add(int(log.item[at]), int(log.type[at]), float(log.time[at]), float(log.value[at]))
            self.at += 1


def parted(offers: NDArray[np.int64], had: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """What a user had of some offers, and the rest: between the former a list of what is done again has to choose."""
    known = np.isin(offers, had)
    return [offers[known], offers[~known]]


def best(scores: NDArray[np.float32], allowed: NDArray[np.bool_], size: int) -> Evidence:
    """The best allowed rows of dense scores [N]."""
    scores = np.where(allowed, scores, -np.inf)
    size = min(size, int(allowed.sum()))
    near = np.argpartition(-scores, size - 1)[:size] if size else np.empty(0, np.int64)
    return Evidence.ranked(near.astype(np.int64), scores[near].astype(np.float32))


def merged(evidence: Mapping[str, Evidence], limit: int | None = None) -> NDArray[np.int64]:
    """Rows that any channel offers, taken from the lists in turn (each once), at most `limit`."""
    deep = max((len(one) for one in evidence.values()), default=0)
    padded = [np.concatenate([one.rows, np.full(deep - len(one), PAD)]) for one in evidence.values()]
    turn = np.stack(padded, axis=1).ravel() if padded else np.empty(0, np.int64)
    rows, first = np.unique(turn, return_index=True)
    order = rows[np.argsort(first)]
    found: NDArray[np.int64] = order[order != PAD][:limit]
    return found
