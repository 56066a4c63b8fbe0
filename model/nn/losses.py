"""Losses as pure functions. NaN labels are unlabelled: they add no loss and no gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # torch's own habit

from model.features.spec import TaskSpec
from model.nn.heads import TaskValues


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Σ w·loss / Σ w over all entries, 0 when nothing has weight; losses where the weight is 0 may be anything."""
    kept = torch.where(weights > 0, losses, torch.zeros_like(losses))
    return (kept * weights).sum() / weights.sum().clamp(min=1e-9)


def labelled(labels: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Labels with NaN as 0, and weights that are 0 there; any shape."""
    known = ~torch.isnan(labels)
    weight = known.to(labels.dtype) if weights is None else torch.where(known, weights, 0.0)
    return torch.where(known, labels, torch.zeros_like(labels)), weight


def binary(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of logits against labels in [0, 1]; any one shape."""
    target, weight = labelled(labels, weights)
    return weighted_mean(F.binary_cross_entropy_with_logits(logits, target, reduction="none"), weight)


def regression(values: Tensor, labels: Tensor, spread: float, weights: Tensor | None = None) -> Tensor:
    """Mean squared error in quarters of the label's range `spread`, so that it weighs like a cross-entropy."""
    target, weight = labelled(labels, weights)
    return weighted_mean(((values - target) * (4.0 / spread)).square(), weight)


def ordinal(cumulative: Tensor, labels: Tensor, low: float, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over thresholds: cumulative logits [..., levels - 1] of `label > low + k`, labels [...]."""
    target, weight = labelled(labels, weights)
    steps = torch.arange(cumulative.shape[-1], device=labels.device, dtype=labels.dtype)
    above = (target.unsqueeze(-1) > low + steps).to(cumulative.dtype)
    losses = F.binary_cross_entropy_with_logits(cumulative, above, reduction="none").mean(-1)
    return weighted_mean(losses, weight)


def listwise(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Softmax cross-entropy over each user's slate: logits [B, C], labels [B, C] ≥ 0 (relevance), weights [B].

    Unlabelled candidates are not in the slate; users without a relevant one add nothing.
    """
    target, known = labelled(labels)
    log_p = logits.masked_fill(known == 0, -1e9).log_softmax(-1)
    relevance = target.sum(-1)
    losses = -(target * log_p).sum(-1) / relevance.clamp(min=1e-9)
    useful = (relevance > 0).to(logits.dtype)
    return weighted_mean(losses, useful if weights is None else useful * weights)


def task_losses(
    tasks: Sequence[TaskSpec], values: TaskValues, raw: Tensor, labels: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Loss of every task and how many labels it had, each [T]; raw readings, labels and weights [B, C, T]."""
    read = values(raw)
    losses = [
        _task_loss(
            task, values, (raw[..., at], read[..., at]), labels[..., at], None if weights is None else weights[..., at]
        )
        for at, task in enumerate(tasks)
    ]
    return torch.stack(losses), (~torch.isnan(labels)).flatten(0, -2).sum(0)


def full_softmax(users: Tensor, items: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of the next item over the whole catalogue: users [n, D], items [N, D], targets int64 [n]."""
    losses = F.cross_entropy(users @ items.T, targets, reduction="none")
    return weighted_mean(losses, torch.ones_like(losses) if weights is None else weights)


def sampled_softmax(
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    log_q: tuple[Tensor, Tensor],
    same: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Softmax over one positive and shared negatives, corrected by how often each is drawn (Yi et al. 2019).

    users, positives [n, D], negatives [m, D], log_q = log expected draws of ([n], [m]), same bool [n, m]: negatives
    that are the positive itself and so are left out. With every item once as a negative it is `full_softmax`.
    """
    of_positive = (users * positives).sum(-1) - log_q[0]
    of_negatives = (users @ negatives.T - log_q[1]).masked_fill(same, -torch.inf)
    losses = torch.cat([of_positive.unsqueeze(-1), of_negatives], dim=-1).logsumexp(-1) - of_positive
    return weighted_mean(losses, torch.ones_like(losses) if weights is None else weights)


def info_nce(first: Tensor, second: Tensor, temperature: float = 0.1, related: Tensor | None = None) -> Tensor:
    """How well two views [n, D] of the same n things find each other among all others, both ways (Chen et al. 2020).

    `related` bool [n, n]: pairs of a first and a second view that are no negatives; those of one thing always count.
    """
    scores = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T / temperature
    places = torch.arange(len(first), device=first.device)
    if related is not None:
        scores = scores.masked_fill(related & (places != places.unsqueeze(-1)), -torch.inf)
    return (F.cross_entropy(scores, places) + F.cross_entropy(scores.T, places)) / 2


def distmult(heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
    """Score [...] of links, Σ h·r·t over [..., G] (Yang et al. 2015)."""
    return (heads * relations * tails).sum(-1)


def transe(heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
    """Score [...] of links, -|h + r - t| over [..., G] (Bordes et al. 2013)."""
    distance: Tensor = torch.linalg.vector_norm(heads + relations - tails, dim=-1)
    return -distance


def links(true: Tensor, false: Tensor) -> Tensor:
    """Softmax cross-entropy of true links' scores [n] against corrupted ones' [n, m]."""
    return (torch.cat([true.unsqueeze(-1), false], dim=-1).logsumexp(-1) - true).mean()


def attributes(logits: Tensor, ids: Tensor, among: Tensor | None = None) -> Tensor:
    """Cross-entropy of every attribute value: logits [n, V], the values that hold as ids int64 [n, A], 0-padded.

    Rows without any value are unlabelled, and id 0 is no value; `among` bool [V]: only these ids are asked about.
    """
    if among is not None:
        ids = torch.where(among[ids], ids, 0)
    truth = torch.zeros_like(logits).scatter(1, ids, 1.0)
    weight = (ids > 0).any(-1, keepdim=True).to(logits.dtype).expand_as(logits).clone()
    weight[:, 0] = 0.0
    if among is not None:
        weight = weight * among
    return weighted_mean(F.binary_cross_entropy_with_logits(logits, truth, reduction="none"), weight)


def _task_loss(
    task: TaskSpec, values: TaskValues, output: tuple[Tensor, Tensor], labels: Tensor, weights: Tensor | None
) -> Tensor:
    """Loss of one task; `output` is its raw reading and its value, each [B, C]."""
    raw, value = output
    if task.kind == "binary":
        return binary(raw, labels, weights)
    if task.kind == "regression":
        return regression(value, labels, task.high - task.low, weights)
    if task.kind == "ordinal":
        return ordinal(values.cumulative(task, raw), labels, task.low, weights)
    return listwise(raw, labels, None if weights is None else weights.amax(-1))
