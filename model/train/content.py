"""What content says of an item, in closed form: a ridge regression from text, attributes and graph onto item vectors.

The item tower's content part is linear in its last layer, so it is solved for instead of trained: once for items with
attributes or graph, once for those known by their text alone. How strictly is chosen by items that the fit did not see
(after the hybrid cold-start models CB2CF, Barkan et al. 2019, and DropoutNet, Volkovs et al. 2017, with a closed form
in place of their training).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray

from model.nn.graph import NONE
from model.nn.model import MultiTaskModel
from model.train.arrays import Features
from model.train.batches import item_vectors
from model.train.guises import nameless_items

FOLDS = 4
MOST_ITEMS = 50_000  # items with most events that a fit reads
MOST_VALUES = 2_560  # attribute values that most items have: a fit costs the square of its columns, and more
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
TRUST = 10.0  # events at which an item's vector counts half
ALONE_SLACK = 0.03  # of what there is to explain: a fit that weak, yet so near the best, keeps what few texts share


@dataclass(frozen=True, slots=True)
class _Told:
    """Items as content's last layer reads them: columns float64 [n, P], weights float64 [n] (0: not to learn from)."""

    columns: NDArray[np.float64]
    weight: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Unseen:
    """What content says of all items by a fit that has not seen them, float32 [N, D] each: of items `nameless`, without
    their ids, and `bare`, as if they were put at run time. `figures`: what it explains, and how strict it was.

    A fit knows its own items better than it will ever know a new one; who learns how far content is to be trusted has
    to hear of every item what it would hear if the item were new (stacking: Wolpert 1992).
    """

    nameless: NDArray[np.float32]
    bare: NDArray[np.float32]
    figures: dict[str, float]


class _Ridge:
    """Weighted ridge regressions of several strengths onto vectors [n, D], from Gram matrices made once a fold [n]."""

    def __init__(self, told: Sequence[_Told], vectors: NDArray[np.float64], fold: NDArray[np.int64]) -> None:
        self.told, self.vectors, self.fold = told, vectors, fold
        made = [self._matrices(one) for one in range(FOLDS)]
        self.grams, self.sides = [gram for gram, _ in made], [side for _, side in made]
        self.gram, self.side = np.sum(self.grams, axis=0), np.sum(self.sides, axis=0)

    def _held(self, fold: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
        """Columns, vectors and weights of a fold's items, of every reading."""
        found = []
        for one in self.told:
            rows = np.flatnonzero((self.fold == fold) & (one.weight > 0))
            found.append((one.columns[rows], self.vectors[rows], one.weight[rows]))
        return found

    def _matrices(self, fold: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        columns, truth, weight = (np.concatenate(parts) for parts in zip(*self._held(fold), strict=True))
        heavy = (columns * weight[:, None]).T
        return heavy @ columns, heavy @ truth

    def unexplained(self, strength: float) -> float:
        """Weighted squared error on items that the fit did not see, as a share of what there is to explain."""
        wrong = total = 0.0
        for fold in range(FOLDS):
            found = self.without(fold, strength)
            for columns, truth, weight in self._held(fold):
                wrong += float((((columns @ found - truth) ** 2).sum(1) * weight).sum())
                total += float(((truth**2).sum(1) * weight).sum())
        return wrong / total if total else 1.0

    def without(self, fold: int, strength: float) -> NDArray[np.float64]:
        """Coefficients [P, D] that have not seen a fold."""
        return solved(self.gram - self.grams[fold], self.side - self.sides[fold], strength)

    def whole(self, strength: float) -> NDArray[np.float64]:
        """Coefficients [P, D] that have seen all items."""
        return solved(self.gram, self.side, strength)

    def strength(self, slack: float) -> tuple[float, float]:
        """The weakest strength within `slack` of the best, and what it explains of items that the fit did not see."""
        errors = {strength: self.unexplained(strength) for strength in STRENGTHS}
        strength = min(one for one, error in errors.items() if error <= min(errors.values()) + slack)
        return strength, 1 - errors[strength]


def solved(gram: NDArray[np.float64], side: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Ridge coefficients [P, D], of columns that all cost the same."""
    inner = gram.copy()
    inner[np.diag_indices(len(inner))] += strength
    found: NDArray[np.float64] = scipy.linalg.solve(inner, side, assume_a="pos")
    return found


def settle(
    model: MultiTaskModel,
    features: Features,
    bare: Features,
    vectors: NDArray[np.float32],
    events: NDArray[np.int64],
    generator: np.random.Generator,
) -> Unseen:
    """Let content say what of `vectors` [N, D] holds for unseen items, and ids the rest; events int64 [N] an item has.

    Items are read as they are, as `bare` has them (as if they were put at run time), and by their text alone. Vectors
    of items with events stay what they are; those of all others are what content says. The figures are, of described
    items and of those known by text `alone`, what it explains of unseen ones (1: all) and the strength chosen on them.
    """
    rows = np.argsort(-events, kind="stable")[:MOST_ITEMS]
    rows = rows[events[rows] > 0]
    weight, fold = events[rows] / (events[rows] + TRUST), generator.permutation(len(rows)) % FOLDS
    truth = vectors[rows].astype(np.float64)
    values = common_values(features.attributes[rows], model.spec.attribute_vocabulary)
    read, plain, text = (_read(model, one, rows, values) for one in (features, bare, by_text_alone(features)))
    of_described = [_Told(columns, weight * described * by) for (columns, described), by in ((read, 1.0), (plain, 0.5))]
    ridges = _Ridge(of_described, truth, fold), _Ridge([_Told(text[0], weight)], truth, fold)
    (strength, explained), (strength_alone, explained_alone) = ridges[0].strength(0.0), ridges[1].strength(ALONE_SLACK)
    strengths = strength, strength_alone
    _write(model, values, *(ridge.whole(one) for ridge, one in zip(ridges, strengths, strict=True)))
    nameless, told = (item_vectors(model, nameless_items(one)) for one in (features, bare))
    ids = np.where(events[:, None] > 0, vectors - nameless, np.float32(0.0))
    model.item_tower.start_ids(torch.from_numpy(ids))
    for one in range(FOLDS):
        held = fold == one
        found = [ridge.without(one, strict) for ridge, strict in zip(ridges, strengths, strict=True)]
        for said, (columns, described) in ((nameless, read), (told, plain)):
            of_both = [columns[held] @ coefficients for coefficients in found]
            said[rows[held]] = np.where(described[held, None], *of_both)
    figures = {"explained": explained, "strength": strength}
    return Unseen(nameless, told, figures | {"alone:explained": explained_alone, "alone:strength": strength_alone})


def by_text_alone(features: Features) -> Features:
    """All items as if nothing but their text were known."""
    return replace(features, entity=np.full_like(features.entity, NONE), attributes=np.zeros_like(features.attributes))


def common_values(attributes: NDArray[np.int32], vocabulary: int) -> NDArray[np.int64]:
    """The attribute values (ids 1 to `vocabulary` - 1) of items [n, A] that a fit reads, ascending: all, or MOST_VALUES
    that most items have. Of the others content says nothing by themselves; the cross reads all."""
    count = np.bincount(attributes.ravel(), minlength=vocabulary)[1:]
    return np.sort(np.argsort(-count, kind="stable")[:MOST_VALUES]) + 1


def _parts(model: MultiTaskModel, values: int) -> tuple[slice, slice, slice, slice]:
    """Which columns a fit reads of text, so many attribute values, graph and their cross; a constant is last."""
    tower, spec = model.item_tower, model.spec
    ends = np.cumsum([spec.text_dim, values, spec.graph_dim, tower.cross.width])
    text, attributes, graph, cross = (slice(int(start), int(end)) for start, end in zip([0, *ends], ends, strict=False))
    return text, attributes, graph, cross


@torch.no_grad()
def _read(
    model: MultiTaskModel, features: Features, rows: NDArray[np.int64], values: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What content's last layer reads of items [n], some `values` of their attributes, float64 [n, P]; which of them
    are known by more than text, bool [n]."""
    model.eval()
    items, tower = features.items(rows), model.item_tower
    graph = model.graph_encoder(items.entity)
    by_text, by_attributes, by_graph = tower.switches
    place = torch.zeros(model.spec.attribute_vocabulary, dtype=torch.int64)
    place[torch.from_numpy(values)] = torch.arange(1, len(values) + 1)
    there = (items.attributes > 0).float()
    bag = torch.zeros(len(rows), len(values) + 1).scatter_add_(1, place[items.attributes], there)
    bag = bag[:, 1:] / there.sum(1, keepdim=True).clamp(min=1)
    crossed = tower.crossed(items.text, items.attributes, graph) * tower.cross.width**-0.5
    blocks = (items.text * by_text, bag * by_attributes, graph * by_graph, crossed, torch.ones(len(rows), 1))
    return torch.cat(blocks, dim=1).double().numpy(), tower.described(items.attributes, graph).numpy()


@torch.no_grad()
def _write(
    model: MultiTaskModel, values: NDArray[np.int64], described: NDArray[np.float64], alone: NDArray[np.float64]
) -> None:
    """Coefficients [P, D] of described items and of those known by text alone into the item tower."""
    tower, (text, attributes, graph, cross) = model.item_tower, _parts(model, len(values))
    told, told_alone = (torch.from_numpy(one).float() for one in (described, alone))
    tower.read_text.weight.copy_(told[text].T)
    tower.read_attributes.table.weight.zero_()
    tower.read_attributes.table.weight[torch.from_numpy(values)] = told[attributes]
    tower.read_graph.weight.copy_(told[graph].T)
    tower.read_cross.weight.copy_(told[cross].T * tower.cross.width**-0.5)
    tower.prior.copy_(told[-1])
    tower.read_text_alone.weight.copy_(told_alone[text].T)
    tower.read_cross_alone.weight.copy_(told_alone[cross].T * tower.cross.width**-0.5)
    tower.prior_alone.copy_(told_alone[-1])
