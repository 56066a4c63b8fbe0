"""What content says of an item, in closed form: a ridge regression from text, attributes and graph onto item vectors.

The item tower's content part is linear in its last layer, so the best start is solved for instead of trained; how
strictly is chosen by items that the fit did not see (after the hybrid cold-start models CB2CF, Barkan et al.
2019, and DropoutNet, Volkovs et al. 2017, with a closed form in place of their training).
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray

from model.nn.model import MultiTaskModel
from model.train.arrays import Features

FOLDS = 4
MOST_ITEMS = 50_000  # items with most events that a fit reads
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
SLACK = 0.03  # of what there is to explain: a fit that weak, yet so near the best, keeps what few items share (sequels)
TRUST = 10.0  # events at which an item's vector counts half
PARTS = ("text", "attributes", "graph", "cross")


@dataclass(frozen=True, slots=True)
class _Fold:
    """Held items: what was read of them [n, P], their vectors [n, D], weights [n]."""

    read: NDArray[np.float64]
    truth: NDArray[np.float64]
    weight: NDArray[np.float64]


class _Ridge:
    """Weighted ridge regressions of several strengths, from Gram matrices made once a fold."""

    def __init__(self, folds: list[_Fold]) -> None:
        self.folds = folds
        self.grams = [(one.read * one.weight[:, None]).T @ one.read for one in folds]
        self.sides = [(one.read * one.weight[:, None]).T @ one.truth for one in folds]
        self.gram, self.side = np.sum(self.grams, axis=0), np.sum(self.sides, axis=0)

    def unexplained(self, strength: float) -> float:
        """Weighted squared error on items that the fit did not see, as a share of what there is to explain."""
        wrong = total = 0.0
        for fold, gram, side in zip(self.folds, self.grams, self.sides, strict=True):
            said = fold.read @ solved(self.gram - gram, self.side - side, strength)
            wrong += float((((said - fold.truth) ** 2).sum(1) * fold.weight).sum())
            total += float(((fold.truth**2).sum(1) * fold.weight).sum())
        return wrong / max(total, 1e-12)

    def coefficients(self, strength: float) -> NDArray[np.float64]:
        """Coefficients [P, D] of a fit on all items."""
        return solved(self.gram, self.side, strength)


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
) -> dict[str, float]:
    """Let content say what of `vectors` [N, D] holds for unseen items, and ids the rest; events int64 [N] an item has.

    Items are read as they are and as `bare` has them, as if they were put at run time. Vectors of items with events
    stay what they are; those of all others are what content says. Returns what it explains of unseen items (1: all),
    and the strength chosen on them.
    """
    rows = np.argsort(-events, kind="stable")[:MOST_ITEMS]
    rows = rows[events[rows] > 0]
    blocks, places = _read(model, features)
    plain, _ = _read(model, bare)
    fold = generator.permutation(len(rows)) % FOLDS
    weight = events[rows] / (events[rows] + TRUST)
    both = [(blocks, weight), (plain, weight / 2)]
    folds = [
        _Fold(
            np.concatenate([read[rows[fold == one]] for read, _ in both]),
            np.tile(vectors[rows[fold == one]].astype(np.float64), (2, 1)),
            np.concatenate([trust[fold == one] for _, trust in both]),
        )
        for one in range(FOLDS)
    ]
    ridge = _Ridge(folds)
    errors = {strength: ridge.unexplained(strength) for strength in STRENGTHS}
    strength = min(one for one, error in errors.items() if error <= min(errors.values()) + SLACK)
    found = ridge.coefficients(strength)
    _write(model, found, places)
    ids = np.where(events[:, None] > 0, vectors - blocks @ found, 0.0)
    model.item_tower.start_ids(torch.from_numpy(ids.astype(np.float32)))
    return {"explained": 1 - errors[strength], "strength": strength}


@torch.no_grad()
def _read(model: MultiTaskModel, features: Features) -> tuple[NDArray[np.float64], dict[str, slice]]:
    """What content's last layer reads of every item, float64 [N, P], and each part's columns; a constant is last."""
    model.eval()
    items, tower = features.items(), model.item_tower
    graph = model.graph_encoder(items.entity)
    by_text, by_attributes, by_graph = tower.switches
    bag = torch.zeros(len(features), model.spec.attribute_vocabulary)
    bag.scatter_add_(1, items.attributes, (items.attributes > 0).float())
    bag = bag[:, 1:] / bag[:, 1:].sum(1, keepdim=True).clamp(min=1)
    crossed = tower.crossed(items.text, items.attributes, graph) * tower.cross.width**-0.5
    blocks = (items.text * by_text, bag * by_attributes, graph * by_graph, crossed, torch.ones(len(features), 1))
    ends = np.cumsum([block.shape[1] for block in blocks])
    places = {
        name: slice(int(end) - block.shape[1], int(end)) for name, block, end in zip(PARTS, blocks, ends, strict=False)
    }
    return torch.cat(blocks, dim=1).double().numpy(), places


@torch.no_grad()
def _write(model: MultiTaskModel, found: NDArray[np.float64], places: dict[str, slice]) -> None:
    """Coefficients [P, D] into the item tower."""
    tower, by = model.item_tower, {name: torch.from_numpy(found[place]).float() for name, place in places.items()}
    tower.read_text.weight.copy_(by["text"].T)
    tower.read_attributes.table.weight[1:] = by["attributes"]
    tower.read_graph.weight.copy_(by["graph"].T)
    tower.read_cross.weight.copy_(by["cross"].T * tower.cross.width**-0.5)
    tower.prior.copy_(torch.from_numpy(found[-1]).float())
