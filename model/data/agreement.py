"""Do a graph's entities agree with the items' attributes? Catches a graph joined by the wrong ids.

Items that share a neighbour in the graph (a genre, a director, a country) should share attribute values more often than
chance has it. For each frequent (relation, entity) pair the best attribute value's rate among its items is compared
with the base rate as a z-score of the hypergeometric law; the mean over pairs is held against the same figure after
shuffling which item is which entity. A wrong join is exactly such a shuffle.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.data.log import KnowledgeGraph, Records
from model.data.values import Coded

FEWEST_ITEMS = 10  # of a frequent pair, and of an attribute value
MOST_PAIRS = 100
MOST_VALUES = 100
MOST_ITEMS = 20_000
SHUFFLES = 99
MARGIN = 1.2  # the agreement must be this many times what chance gives, and more than every shuffle gave


@dataclass(frozen=True, slots=True)
class PairRate:
    """One (relation, entity) pair: its items, its best attribute value, that value's rate among them and overall."""

    relation: str
    entity: str
    items: int
    value: str
    rate: float
    base: float

    def __str__(self) -> str:
        """One line for a person."""
        among = f"{self.items} items at {self.relation} {self.entity}"
        return f"{among}: {self.value} {self.rate:.0%} against {self.base:.0%} of all"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Mean best z-score over pairs, what shuffled links give (mean and most), and the pairs, largest first."""

    score: float
    chance: float
    most: float
    pairs: tuple[PairRate, ...]

    def __str__(self) -> str:
        """One line for a person."""
        return f"agreement {self.score:.2f}, shuffled links give {self.chance:.2f} (at most {self.most:.2f})"

    @property
    def holds(self) -> bool:
        """Whether entities and attributes agree better than chance; true when there is nothing to compare."""
        return not self.pairs or (self.score > self.most and self.score >= MARGIN * self.chance)


NOTHING = Agreement(0.0, 0.0, 0.0, ())


def agreement(graph: KnowledgeGraph, records: Records, rng: np.random.Generator) -> Agreement:
    """Compare a graph's linked items with their categorical and multi-valued attributes."""
    linked = np.flatnonzero(graph.item_entity >= 0)
    if len(linked) > MOST_ITEMS:
        linked = np.sort(rng.choice(linked, MOST_ITEMS, replace=False))
    members, pairs = _pairs(graph, linked)
    has, values = _values(records, linked)
    if not len(pairs) or not len(values):
        return NOTHING
    scores = best_scores(members, has)
    shuffled = [best_scores(members, has[rng.permutation(len(has))]).max(1).mean() for _ in range(SHUFFLES)]
    rates = _rates(graph, pairs, members, has, values, scores.argmax(1))
    return Agreement(float(scores.max(1).mean()), float(np.mean(shuffled)), float(np.max(shuffled)), rates)


def best_scores(members: NDArray[np.float32], has: NDArray[np.float32]) -> NDArray[np.float64]:
    """z-scores [P, V] of values among the items of pairs: members [P, N] and has [N, V] hold 0 and 1."""
    size, total, base = members.sum(1, keepdims=True), len(has), has.mean(0, dtype=np.float64)
    variance = size * base * (1 - base) * (total - size) / max(total - 1, 1)
    scores: NDArray[np.float64] = (members @ has - size * base) / np.sqrt(np.maximum(variance, 1e-9))
    return scores


def _pairs(graph: KnowledgeGraph, linked: NDArray[np.int64]) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """Membership [P, linked] of items in frequent (relation, entity) pairs, either end of a triple, and the pairs."""
    links = pd.DataFrame({"place": np.arange(len(linked)), "mine": graph.item_entity[linked]})
    head, relation, tail = graph.triples.T
    ends = [
        pd.DataFrame({"mine": mine, "relation": relation, "other": other})
        for mine, other in ((head, tail), (tail, head))
    ]
    met = pd.concat([links.merge(end, on="mine") for end in ends]).drop_duplicates(["place", "relation", "other"])
    sizes = met.groupby(["relation", "other"]).size()
    frequent = sizes[(sizes >= FEWEST_ITEMS) & (sizes < len(linked))].sort_values(ascending=False, kind="stable")
    pairs = [(int(relation), int(other)) for relation, other in frequent.index[:MOST_PAIRS]]
    places = {pair: place for place, pair in enumerate(pairs)}
    rows = [places.get(pair, -1) for pair in zip(met["relation"].tolist(), met["other"].tolist(), strict=True)]
    members = np.zeros((len(pairs) + 1, len(linked)), np.float32)
    members[rows, met["place"].to_numpy()] = 1.0
    return members[:-1], pairs


def _values(records: Records, linked: NDArray[np.int64]) -> tuple[NDArray[np.float32], list[str]]:
    """Which linked item has which attribute value [linked, V], for values that are frequent and not everywhere."""
    columns: list[NDArray[np.float32]] = []
    names: list[str] = []
    for attribute, column in records.values.items():
        spread = [(place, value) for place, row in enumerate(linked.tolist()) for value in _texts(column[row])]
        if spread:
            places, texts = zip(*spread, strict=True)
            codes, uniques = pd.factorize(np.asarray(texts, object))
            found = Coded(codes.astype(np.int64), tuple(uniques.tolist()))
            for code in _frequent(found.codes, len(linked)):
                columns.append(np.zeros(len(linked), np.float32))
                columns[-1][np.asarray(places)[found.codes == code]] = 1.0
                names.append(f"{attribute} {found.values[code]}")
    return (np.stack(columns, axis=1) if columns else np.zeros((len(linked), 0), np.float32)), names


def _texts(value: object) -> tuple[str, ...]:
    """The texts of a categorical or multi-valued attribute; numbers have none."""
    return value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()


def _frequent(codes: NDArray[np.int64], items: int) -> list[int]:
    sizes = np.bincount(codes)
    order = np.argsort(-sizes, kind="stable")[:MOST_VALUES]
    return [int(code) for code in order if FEWEST_ITEMS <= sizes[code] < items]


def _rates(
    graph: KnowledgeGraph,
    pairs: list[tuple[int, int]],
    members: NDArray[np.float32],
    has: NDArray[np.float32],
    values: list[str],
    best: NDArray[np.int64],
) -> tuple[PairRate, ...]:
    """The pairs in words, each with its best value."""
    rates, base = members @ has / members.sum(1, keepdims=True), has.mean(0)
    return tuple(
        PairRate(
            graph.relations[relation],
            graph.entities[entity],
            int(members[place].sum()),
            values[best[place]],
            float(rates[place, best[place]]),
            float(base[best[place]]),
        )
        for place, (relation, entity) in enumerate(pairs)
    )
