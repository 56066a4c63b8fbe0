"""Stage 2: the ranker on slates, all pair tasks at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from model.config import Task, Training
from model.features.spec import FeatureSpec
from model.nn import losses
from model.nn.model import MultiTaskModel
from model.train.batches import ranker_batch
from model.train.loop import Schedule, Stopper, batch_size, check_loss
from model.train.metrics import MISSED, ndcg
from model.train.slates import EMPTY, OFFERED, POSITIVE, RANDOM, Slates
from model.train.weighting import Weighting, make_weighting

RANDOM_LOGIT = -1e9


@dataclass(frozen=True, slots=True)
class Objective:
    """What each task's column means in a slate: its kind, weight, sampled negatives, and whether it orders lists."""

    spec: FeatureSpec
    tasks: Sequence[Task]

    @property
    def lists(self) -> list[int]:
        """Columns whose logit should put the positive before what was offered instead: next item, or with negatives."""
        return [place for place, task in enumerate(self.tasks) if task.kind == "next_item" or task.negatives > 0]

    def labels(self, slates: Slates) -> NDArray[np.float32]:
        """The slates' labels [S, C, T], with random negatives labelled 0 for the binary tasks that ask for them."""
        found = slates.labels.copy()
        for place, task in enumerate(self.tasks):
            if task.kind == "next_item":
                found[..., place] = np.nan  # its loss is the list's
            elif task.negatives > 0:
                found[..., place] = self._sampled(found[..., place], slates.role, task.negatives)
        return found

    def _sampled(self, labels: NDArray[np.float32], role: NDArray[np.int8], most: int) -> NDArray[np.float32]:
        """0 for the first `most` random candidates of each slate whose positive is labelled."""
        drawn = (role == RANDOM) & (np.cumsum(role == RANDOM, axis=1) <= most)
        return np.where(drawn & ~np.isnan(labels[:, :1]), np.float32(0.0), labels)


def fit_ranker(
    model: MultiTaskModel,
    objective: Objective,
    slates: Slates,
    valid: Slates,
    vectors: NDArray[np.float32],
    settings: Training,
    generator: np.random.Generator,
    record: Callable[[int, dict[str, float]], None],
) -> Weighting:
    """Train the ranker on slates, keep the epoch that is best on `valid`; raises TrainingError on a degenerate loss."""
    normalise(model, slates)
    table = torch.from_numpy(vectors)
    weighting = make_weighting(settings.weighting, [task.weight for task in objective.tasks])
    groups = [
        {"params": list(model.ranker.parameters()), "weight_decay": settings.weight_decay},
        {"params": list(weighting.parameters()), "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=settings.ranker_learning_rate)
    batch = batch_size(settings.ranker_batch, len(slates))
    steps = -(-len(slates) // batch) * settings.ranker_epochs
    schedule, stopper = Schedule(optimiser, steps, settings.warmup), Stopper(model, settings.patience)
    labels = objective.labels(slates)
    for epoch in tqdm(range(1, settings.ranker_epochs + 1), desc="ranker", mininterval=2):
        means = _epoch(model, objective, slates, labels, table, weighting, schedule, batch, generator)
        weighting.epoch_ends(means[:-1])
        figure, figures = validate(model, objective, valid, vectors)
        named = {f"ranker/loss/{task.name}": loss for task, loss in zip(objective.tasks, means, strict=False)}
        weights = dict(
            zip((f"ranker/weight/{task.name}" for task in objective.tasks), weighting.weights(), strict=True)
        )
        record(epoch, named | {"ranker/loss/list": means[-1]} | weights | figures)
        if stopper.worse(figure, epoch):
            break
    stopper.restore(settings.ranker_epochs)
    return weighting


def normalise(model: MultiTaskModel, slates: Slates) -> None:
    """Measure the features' means and deviations on the candidates of slates."""
    real = torch.from_numpy(slates.features[slates.role != EMPTY])
    of_user = torch.from_numpy(slates.user_features)
    model.ranker.set_normalisation((of_user.mean(0), of_user.std(0)), (real.mean(0), real.std(0)))


def _epoch(
    model: MultiTaskModel,
    objective: Objective,
    slates: Slates,
    labels: NDArray[np.float32],
    vectors: Tensor,
    weighting: Weighting,
    schedule: Schedule,
    batch: int,
    generator: np.random.Generator,
) -> list[float]:
    """One pass in random order; the mean loss of each task, then of the lists."""
    model.train()
    totals, steps = np.zeros(len(objective.tasks) + 1), 0
    order = generator.permutation(len(slates))
    for at in range(0, len(order), batch):
        some = order[at : at + batch]
        schedule.optimiser.zero_grad(set_to_none=True)
        by_task, listed = slate_losses(model, objective, slates.take(some), labels[some], vectors)
        total = weighting.total(by_task) + listed
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(model.ranker.parameters(), 5.0)
        schedule.step()
        totals += [*by_task.tolist(), float(listed.detach())]
        steps += 1
    check_loss("ranker loss", float(totals.sum()))
    return [float(value) for value in totals / max(steps, 1)]


def slate_losses(
    model: MultiTaskModel, objective: Objective, slates: Slates, labels: NDArray[np.float32], vectors: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss of each task [T], and the weighted softmax losses of the tasks that order lists, one number."""
    raw = model.rank_raw(ranker_batch(slates, vectors))
    truth = torch.from_numpy(labels)
    by_task, _ = losses.task_losses(objective.spec.tasks, model.ranker.values, raw, truth)
    listed = torch.zeros(())
    for place in objective.lists:
        relevance = torch.from_numpy(list_relevance(slates, place))
        listed = listed + objective.tasks[place].weight * losses.listwise(raw[..., place], relevance)
    return by_task, listed


def list_relevance(slates: Slates, place: int) -> NDArray[np.float32]:
    """1 for what happened, 0 for all other candidates, NaN for padding and for slates that are no list; [S, C]."""
    happened = (slates.role == POSITIVE) & (np.nan_to_num(slates.labels[..., place], nan=1.0) > 0)
    listed = (slates.role != EMPTY) & slates.fresh[:, None]
    return np.where(listed, happened.astype(np.float32), np.float32(np.nan))


@torch.no_grad()
def readings(
    model: MultiTaskModel, slates: Slates, vectors: NDArray[np.float32], chunk: int = 256
) -> NDArray[np.float32]:
    """What ranker.onnx would give for every candidate, float32 [S, C, T]."""
    model.eval()
    table = torch.from_numpy(vectors)
    parts = [
        model.rank_logits(ranker_batch(slates.take(slice(at, at + chunk)), table)).numpy()
        for at in range(0, len(slates), chunk)
    ]
    return np.concatenate(parts) if parts else np.empty((0, 0, 0), np.float32)


def validate(
    model: MultiTaskModel, objective: Objective, valid: Slates, vectors: NDArray[np.float32]
) -> tuple[float, dict[str, float]]:
    """The figure to stop by, and all figures: NDCG@10 of what happened among the served candidates; task losses.

    Where no task orders lists the figure is the negative weighted task loss.
    """
    given = readings(model, valid, vectors)
    figures = {}
    for place in objective.lists:
        figures[f"ranker/ndcg@10/{objective.tasks[place].name}"] = ndcg(list_ranks(valid, given[..., place]))
    labels = torch.from_numpy(objective.labels(valid))
    by_task = _value_losses(objective, torch.from_numpy(given), labels)
    figures |= {f"ranker/valid/{task.name}": loss for task, loss in zip(objective.tasks, by_task, strict=True)}
    if objective.lists:
        return float(np.mean([figures[f"ranker/ndcg@10/{objective.tasks[p].name}"] for p in objective.lists])), figures
    return -float(np.dot([task.weight for task in objective.tasks], by_task)), figures


def _value_losses(objective: Objective, given: Tensor, labels: Tensor) -> list[float]:
    """Cross-entropy or squared error of what the graph gives, by task."""
    found = []
    for place, task in enumerate(objective.spec.tasks):
        said, true = given[..., place], labels[..., place]
        if task.kind in ("regression", "ordinal"):
            found.append(float(losses.regression(said, true, task.high - task.low)))
        else:
            found.append(float(losses.binary(said, true)))
    return found


def list_ranks(slates: Slates, scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rank of what happened among the candidates that are served; MISSED where no channel offered it; [S]."""
    served = (slates.role == OFFERED) | (slates.role == POSITIVE)
    others = np.where(served, scores, -np.inf)
    ranks = (others > scores[:, :1]).sum(1)
    return np.where(slates.offered & slates.fresh, ranks, MISSED)
