"""Stage 2: the ranker on slates, all pair tasks at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from model.config import Task, Training
from model.features.spec import FeatureSpec
from model.nn import losses
from model.nn.heads import TaskValues
from model.nn.model import MultiTaskModel
from model.train.adversarial import robust
from model.train.batches import Batch, ranker_batch
from model.train.distill import Taught
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
        return over_chains(found, self.spec)

    def _sampled(self, labels: NDArray[np.float32], role: NDArray[np.int8], most: int) -> NDArray[np.float32]:
        """0 for the first `most` random candidates of each slate whose positive is labelled."""
        drawn = (role == RANDOM) & (np.cumsum(role == RANDOM, axis=1) <= most)
        return np.where(drawn & ~np.isnan(labels[:, :1]), np.float32(0.0), labels)


def over_chains(labels: NDArray[np.float32], spec: FeatureSpec) -> NDArray[np.float32]:
    """Labels [..., T] with 0 where nothing was known and what should come before did not happen; changed in place."""
    for place, before in spec.chains().items():
        end, start = labels[..., place], labels[..., before]
        end[np.isnan(end) & (start == 0)] = 0.0
    return labels


def fit_ranker(
    model: MultiTaskModel,
    objective: Objective,
    parts: Sequence[Slates],
    valid: Sequence[Slates],
    vectors: NDArray[np.float32],
    settings: Training,
    generator: np.random.Generator,
    record: Callable[[int, dict[str, float]], None],
    taught: Taught | None = None,
    epochs: int | None = None,
) -> int:
    """Train the ranker on slates, keep the epoch that is best on `valid`, and say which; TrainingError on a bad loss.

    Both come in parts whose slates are equally wide; a batch is of one part. `taught` is what a teacher says of them.
    With `epochs` it stops after so many on the same course, and nothing validates.
    """
    normalise(model, parts)
    table = torch.from_numpy(vectors)
    weighting = make_weighting(settings.weighting, [task.weight for task in objective.tasks], generator)
    groups = [
        {"params": list(model.ranker.parameters()), "weight_decay": settings.weight_decay},
        {"params": list(weighting.parameters()), "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=settings.ranker_learning_rate)
    batch = batch_size(settings.ranker_batch, sum(len(part) for part in parts))
    steps = sum(-(-len(part) // batch) for part in parts) * settings.ranker_epochs
    schedule, stopper = Schedule(optimiser, steps, settings.warmup), Stopper(model, settings.patience)
    labels = [objective.labels(part) for part in parts]
    for epoch in tqdm(range(1, (epochs or settings.ranker_epochs) + 1), desc="ranker", mininterval=2):
        means = _epoch(
            model, objective, parts, labels, table, weighting, schedule, batch, settings.adversarial, generator, taught
        )
        weighting.epoch_ends(means)
        figure, figures = (float(epoch), {}) if epochs else validate(model, objective, valid, vectors)
        named = {f"ranker/loss/{task.name}": loss for task, loss in zip(objective.tasks, means, strict=True)}
        weights = dict(
            zip((f"ranker/weight/{task.name}" for task in objective.tasks), weighting.weights(), strict=True)
        )
        record(epoch, named | weights | figures)
        if stopper.worse(figure, epoch):
            break
    return stopper.restore(settings.ranker_epochs)


def normalise(model: MultiTaskModel, parts: Sequence[Slates]) -> None:
    """Measure the scales of features on the candidates of slates."""
    real = torch.from_numpy(np.concatenate([part.features[part.role != EMPTY] for part in parts]))
    of_user = torch.from_numpy(np.concatenate([part.user_features for part in parts]))
    model.ranker.measure(of_user, real)


def _epoch(
    model: MultiTaskModel,
    objective: Objective,
    parts: Sequence[Slates],
    labels: Sequence[NDArray[np.float32]],
    vectors: Tensor,
    weighting: Weighting,
    schedule: Schedule,
    batch: int,
    adversarial: float,
    generator: np.random.Generator,
    taught: Taught | None,
) -> list[float]:
    """One pass in random order; the mean loss of each task."""
    model.train()
    totals, steps, shared = np.zeros(len(objective.tasks)), 0, model.ranker.shared()
    for part, some in shuffled(parts, batch, generator):
        schedule.optimiser.zero_grad(set_to_none=True)
        mine, told = parts[part].take(some), labels[part][some]
        by_task = slate_losses(model, objective, mine, told, vectors, adversarial, taught)
        weighting.descend(by_task, shared)
        torch.nn.utils.clip_grad_norm_(model.ranker.parameters(), 5.0)
        schedule.step()
        totals += by_task.detach().numpy()
        steps += 1
    check_loss("ranker loss", float(totals.sum()))
    return [float(value) for value in totals / max(steps, 1)]


def shuffled(
    parts: Sequence[Slates], batch: int, generator: np.random.Generator
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Batches of all parts in random order: the part's place, and the places of its slates."""
    batches = [
        (place, some)
        for place, part in enumerate(parts)
        for some in np.split(generator.permutation(len(part)), range(batch, len(part), batch))
        if len(some)
    ]
    yield from (batches[place] for place in generator.permutation(len(batches)))


def slate_losses(
    model: MultiTaskModel,
    objective: Objective,
    slates: Slates,
    labels: NDArray[np.float32],
    vectors: Tensor,
    adversarial: float = 0.0,
    taught: Taught | None = None,
) -> Tensor:
    """Loss of each task [T]: of its labels, of what happened in lists where it orders them, of what a teacher says.

    With `adversarial` the mean of this and of the loss on vectors moved that far against it.
    """

    def losses_of(inputs: Batch) -> Tensor:
        raw, values = model.rank_raw(inputs), model.ranker.values
        found = raw_losses(objective, values, slates, labels, raw)
        return found if taught is None else found + taught.loss(slates, raw, values)

    inputs = ranker_batch(slates, vectors)
    if not adversarial:
        return losses_of(inputs)
    return robust(losses_of, inputs, torch.tensor([task.weight for task in objective.tasks]), adversarial)


def raw_losses(
    objective: Objective, values: TaskValues, slates: Slates, labels: NDArray[np.float32], raw: Tensor
) -> Tensor:
    """Loss of each task [T], of raw readings [S, C, T]: of its labels and, where it orders lists, of the lists.

    A list is a sample of the catalogue that holds what channels offer a hundred times as often as anything else, so
    each candidate's logit is taken less the log of how often it is drawn (as in sampled softmax): else a ranker learns
    that silence in all channels speaks for an item, against what its labels say of items drawn at random.
    """
    by_task, _ = losses.task_losses(objective.spec.tasks, values, raw, torch.from_numpy(labels))
    of_lists, drawn = [torch.zeros(())] * len(objective.tasks), torch.from_numpy(slates.log_chance)
    for place in objective.lists:
        of_lists[place] = losses.listwise(raw[..., place] - drawn, torch.from_numpy(list_relevance(slates, place)))
    return by_task + torch.stack(of_lists)


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
    return np.concatenate(parts) if parts else np.empty((*slates.candidates.shape, len(model.spec.tasks)), np.float32)


def validate(
    model: MultiTaskModel, objective: Objective, valid: Sequence[Slates], vectors: NDArray[np.float32]
) -> tuple[float, dict[str, float]]:
    """The figure to stop by, and all figures: NDCG@10 of what happened among the served candidates; task losses.

    The figure is the tasks' mean by weight: NDCG@10 where a task orders lists, else the share of its loss explained.
    """
    given = [readings(model, part, vectors) for part in valid]
    figures = {}
    for place in objective.lists:
        ranks = [list_ranks(part, said[..., place]) for part, said in zip(valid, given, strict=True)]
        figures[f"ranker/ndcg@10/{objective.tasks[place].name}"] = ndcg(np.concatenate(ranks))
    truth, said = flattened(objective, valid, given)
    by_task = _value_losses(objective, torch.from_numpy(said), torch.from_numpy(truth))
    figures |= {f"ranker/valid/{task.name}": loss for task, loss in zip(objective.tasks, by_task, strict=True)}
    constant = _value_losses(objective, torch.from_numpy(_constant(objective, truth)), torch.from_numpy(truth))
    good = [
        figures.get(f"ranker/ndcg@10/{task.name}", 1 - loss / max(idle, 1e-9))
        for task, loss, idle in zip(objective.tasks, by_task, constant, strict=True)
    ]
    weights = np.asarray([max(task.weight, 0.0) for task in objective.tasks])
    return float(np.dot(weights, good) / max(weights.sum(), 1e-9)), figures


def _constant(objective: Objective, truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """What says nothing of any candidate: each task's mean label (its logit where it is binary), float32 [n, T]."""
    known = ~np.isnan(truth)
    mean = np.where(known, truth, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    share = np.clip(mean, 1e-6, 1 - 1e-6)
    of_values = np.asarray([task.kind in ("regression", "ordinal") for task in objective.spec.tasks])
    said = np.where(of_values, mean, np.log(share / (1 - share)))
    return np.tile(said.astype(np.float32), (len(truth), 1))


def flattened(
    objective: Objective, parts: Sequence[Slates], given: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Labels (NaN: none) and readings of all candidates of all parts, each float32 [n, T]."""
    tasks = len(objective.tasks)
    labels = [objective.labels(part).reshape(-1, tasks) for part in parts]
    return np.concatenate(labels), np.concatenate([said.reshape(-1, tasks) for said in given])


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
    """Rank of what happened among the candidates that are served; MISSED where no channel offered it.

    int64 [S'], for the S' slates that are lists.
    """
    listed = (slates.role == POSITIVE).any(1)
    slates, scores = slates.take(listed), scores[listed]
    served = (slates.role == OFFERED) | (slates.role == POSITIVE)
    others = np.where(served, scores, -np.inf)
    ranks = (others > scores[:, :1]).sum(1)
    return np.where(slates.offered & slates.fresh, ranks, MISSED)
