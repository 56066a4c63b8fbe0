"""Stage 1: both towers by next item, over windows of every user's known events, side losses beside it."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from model.config import Training
from model.nn.model import MultiTaskModel
from model.train.arrays import Features, rivals
from model.train.batches import item_vectors, user_vectors
from model.train.loop import Schedule, Stopper, batch_size, check_loss
from model.train.metrics import MISSED, ndcg
from model.train.moments import PAD, Moments
from model.train.passage import Passage
from model.train.side import SideLosses

FULL_SOFTMAX_ITEMS = 30_000
ANEW_MOST = 4_096  # items whose content is computed with gradients in one step, beside a graph
MOST_EVENTS = 1_000_000  # that an epoch learns from: what more of a long log tells comes in the next one
SAMPLED_NEGATIVES = 1024
GAP_DROPOUT = 0.3  # a gap is hidden this often, so that a moment of unknown time is nothing new
VALID_MOMENTS = 2000
LOUDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # how loud the user tower may start
ALIKE = 8  # batches whose windows are sorted by length among themselves
IDS_FASTER = 3.3  # times the rate at which ids learn: a factorisation knows who is alike, not who follows whom
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TowerData:
    """What the towers learn from: a log of nothing but what they may know, its contexts and item features.

    context int64 [n, X] · content float32 [N, D]: what the item tower says of content, where not every step has to
    compute it of every item (`still_content`).
    """

    moments: Moments
    context: NDArray[np.int64]
    features: Features
    content: Tensor | None = None

    @property
    def met(self) -> NDArray[np.int64]:
        """Items that some event mentions, ascending. Nobody passed over the others: they are no negatives, or the nets
        would learn from their content alone that they are unwanted."""
        return np.unique(self.moments.log.item)


@dataclass(frozen=True, slots=True)
class Watched:
    """What tells whether the towers still get better: `rows` of a log that they do not know, its contexts [n, X]."""

    moments: Moments
    context: NDArray[np.int64]
    rows: NDArray[np.int64]

    def sample(self, generator: np.random.Generator) -> "Watched":
        """At most VALID_MOMENTS of the rows."""
        return replace(self, rows=generator.permutation(self.rows)[:VALID_MOMENTS])


@dataclass(frozen=True, slots=True)
class Step:
    """One batch of windows: users, and the number of each one's events up to its window's end."""

    users: NDArray[np.int64]
    ends: NDArray[np.int64]


def fit_towers(
    model: MultiTaskModel,
    data: TowerData,
    settings: Training,
    side: SideLosses,
    valid: Watched | None,
    generator: np.random.Generator,
    epochs: int,
    rate: float,
    record: Callable[[int, dict[str, float]], None],
) -> int:
    """Train both towers; with `valid` keep the best epoch (by NDCG@10; 0 is the start), else the last; returns which.

    Raises TrainingError on a degenerate loss.
    """
    optimiser = torch.optim.AdamW(groups(model, rate), weight_decay=settings.weight_decay)
    windows = len(windows_of(data, model.spec.history_length, generator).users)
    settings = settings.model_copy(update={"batch": batch_size(settings.batch, windows)})
    steps = -(-windows // settings.batch)
    schedule = Schedule(optimiser, steps * epochs, settings.warmup)
    stopper = Stopper(model, settings.patience)
    watched = valid.sample(generator) if valid is not None and len(valid.rows) else None
    if watched is not None:  # where there is little to learn from, the start is the best there is
        stopper.worse(ndcg(tower_ranks(model, data.features, watched)), 0)
    for epoch in tqdm(range(1, epochs + 1), desc="towers", mininterval=2):
        loss = _epoch(model, data, settings, side, optimiser, schedule, generator)
        figures = {"tower/loss": loss}
        if watched is not None:
            figures["tower/ndcg@10"] = ndcg(tower_ranks(model, data.features, watched))
        record(epoch, figures)
        if watched is not None and stopper.worse(figures["tower/ndcg@10"], epoch):
            break
    return epochs if watched is None else stopper.restore(epochs)


def start_loudness(model: MultiTaskModel, features: Features, asked: Watched, generator: np.random.Generator) -> float:
    """Let the user tower begin as loud as explains a sample of the asked rows best, which the item vectors do not know:
    how sure a history makes of what comes next is the data's own. Returns it."""
    vectors, met, rows = item_vectors(model, features), features.known, asked.sample(generator).rows
    rows = rows[met[asked.moments.log.item[rows]]]
    place = np.cumsum(met) - 1
    aims, table = torch.from_numpy(place[asked.moments.log.item[rows]]), torch.from_numpy(vectors[met])
    found = {}
    for loud in LOUDS if len(rows) else ():
        model.user_tower.means.sound(loud)
        users = user_vectors(model, asked.moments, rows, vectors, features.profile, asked.context)
        found[loud] = float(nn.functional.cross_entropy(torch.from_numpy(users) @ table.T, aims))
    best = min(found, key=lambda loud: found[loud], default=1.0)
    model.user_tower.means.sound(best)
    return best


def descended(model: MultiTaskModel) -> list[nn.Parameter]:
    """What the towers learn by gradients: everything of theirs but what reads an item's content, which is solved for
    (`model.train.content`); in gradient steps it would learn known items by heart."""
    solved = set(model.item_tower.solved())
    return [one for name, one in model.named_parameters() if not name.startswith("ranker.") and one not in solved]


def groups(model: MultiTaskModel, rate: float) -> list[dict[str, object]]:
    """The optimiser's groups of parameters, each with its rate."""
    ids = model.item_tower.id.weight
    others = [one for one in descended(model) if one is not ids]
    return [{"params": others, "lr": rate}, {"params": [ids], "lr": rate * IDS_FASTER}]


@torch.no_grad()
def still_content(model: MultiTaskModel, features: Features) -> Tensor | None:
    """What content says of every item as an epoch begins, [N, D]; None: to be computed in each step.

    Without a graph it never changes. Beside one it learns how to read its neighbours, and of a large catalogue a step
    computes anew, with gradients, what content says of the items in its windows; of all 17,632 artists of Last.fm that
    was more than half of an epoch.
    """
    return None if model.graph_encoder.named and len(features) <= ANEW_MOST else said_of(model, features)


def said_of(model: MultiTaskModel, features: Features, rows: NDArray[np.int64] | None = None) -> Tensor:
    """What content says of some items (all without `rows`), [m, D]."""
    items = features.items(rows)
    said: Tensor = model.item_tower.content(items.text, items.attributes, model.graph_encoder(items.entity))
    return said


def windows_of(data: TowerData, length: int, generator: np.random.Generator) -> Step:
    """Windows that cover each user's known events from the newest back, with random offsets between them.

    Of a log with more than MOST_EVENTS some by lot: an epoch is so many events at most, whatever the log holds.
    """
    users, ends = [], []
    for user, size in enumerate(np.diff(data.moments.by_user.indptr)):
        end = int(size)
        while end > 1 or (end == 1 and size == 1):
            users.append(user)
            ends.append(end)
            end -= length - int(generator.integers(0, max(length // 5, 1)))
    order = generator.permutation(len(users))
    total = np.cumsum(np.minimum(np.asarray(ends, np.int64)[order], length))
    order = order[: int(np.searchsorted(total, MOST_EVENTS, side="right")) or 1]
    return Step(np.asarray(users, np.int64)[order], np.asarray(ends, np.int64)[order])


def _epoch(
    model: MultiTaskModel,
    data: TowerData,
    settings: Training,
    side: SideLosses,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    generator: np.random.Generator,
) -> float:
    """One pass over all windows; the mean loss."""
    model.train()
    data = replace(data, content=still_content(model, data.features))
    total, steps = 0.0, 0
    for step in _batches(windows_of(data, model.spec.history_length, generator), settings.batch, generator):
        optimiser.zero_grad(set_to_none=True)
        passage = passage_of(model, data, settings, step, generator)
        loss = tower_loss(model, passage) + side.loss(model, data.features, passage, generator)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        schedule.step()
        total, steps = total + float(loss.detach()), steps + 1
    return check_loss("tower loss", total / max(steps, 1))


def _batches(windows: Step, size: int, generator: np.random.Generator) -> Iterator[Step]:
    """Batches in random order whose windows are about equally long, so that little of them is padding."""
    chunk = size * ALIKE
    for at in range(0, len(windows.users), chunk):
        by_length = at + np.argsort(windows.ends[at : at + chunk], kind="stable")
        parts = [by_length[start : start + size] for start in range(0, len(by_length), size)]
        for place in generator.permutation(len(parts)):
            yield Step(windows.users[parts[place]], windows.ends[parts[place]])


def passage_of(
    model: MultiTaskModel, data: TowerData, settings: Training, step: Step, generator: np.random.Generator
) -> Passage:
    """The windows of a step with their items' vectors; some ids and some gaps are hidden."""
    length = min(model.spec.history_length, int(step.ends.max()))
    windows = data.moments.windows_at(step.users, step.ends, np.full(len(step.users), np.nan), length)
    pool, places = _pool(windows.rows, data.met, settings.negatives, generator)
    hidden = torch.from_numpy(generator.random(len(pool)) < settings.item_dropout)
    vectors = _vectors(model, data, pool, hidden, _anew(model, data, places, generator))
    windows.gaps[generator.random(windows.gaps.shape) < GAP_DROPOUT] = 0
    whole = len(pool) == len(data.met)
    log_q = None if whole else _log_q(data, pool, settings.negatives)
    profile, context = _moment_inputs(data, step, length)
    return Passage(step.users, replace(windows, rows=places), profile, context, vectors, log_q)


def _vectors(
    model: MultiTaskModel, data: TowerData, rows: NDArray[np.int64], hidden: Tensor, anew: NDArray[np.int64]
) -> Tensor:
    """Vectors [m, D] of some items; of those `hidden` (bool [m]) as of an unseen item, of those at `anew` (places) with
    what content says now."""
    if data.content is None:
        return model.item_vectors(data.features.items(rows), hidden)
    content = data.content[torch.from_numpy(rows)]
    if len(anew):
        content = content.index_copy(0, torch.from_numpy(anew), said_of(model, data.features, rows[anew]))
    ids = torch.from_numpy(data.features.id_index[rows]).masked_fill(hidden, 0)
    known: Tensor = model.item_tower.id(ids) + content
    return known


def _anew(
    model: MultiTaskModel, data: TowerData, places: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Places of the windows' items (ANEW_MOST at most), whose content this step computes; none where it is still."""
    if data.content is None or not model.graph_encoder.named:
        return np.empty(0, np.int64)
    mine = np.unique(places[places != PAD])
    return mine if len(mine) <= ANEW_MOST else np.sort(generator.choice(mine, ANEW_MOST, replace=False))


def tower_loss(model: MultiTaskModel, passage: Passage) -> Tensor:
    """Cross-entropy of each event in the windows given those before it."""
    return passage.next_item(model.user_vectors_all(passage.inputs())[:, :-1], passage.real())


def _pool(
    rows: NDArray[np.int64], met: NDArray[np.int64], negatives: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Items that compete (all `met`, or those in the batch and uniform negatives), and `rows` as places among them."""
    if not negatives and len(met) <= FULL_SOFTMAX_ITEMS:
        pool = met
    else:
        drawn = met[generator.integers(0, len(met), negatives or SAMPLED_NEGATIVES)]
        pool = np.unique(np.concatenate([rows[rows != PAD], drawn]))
    return pool, np.where(rows == PAD, PAD, np.searchsorted(pool, rows))


def _log_q(data: TowerData, pool: NDArray[np.int64], negatives: int) -> Tensor:
    """log of how often an item is in a pool: by its own frequency in the batches, or drawn (Yi et al. 2019)."""
    counts = np.bincount(data.moments.log.item, minlength=len(data.features))
    share = counts / max(counts.sum(), 1) + (negatives or SAMPLED_NEGATIVES) / len(data.met) / max(len(pool), 1)
    return torch.from_numpy(np.log(share[pool] / share.sum())).float()


def _moment_inputs(data: TowerData, step: Step, length: int) -> tuple[Tensor, Tensor]:
    """Profile [B, P], and the context [B, L+1, X] in which each event happened (none known after the last)."""
    source, real = data.moments.sources(step.users, step.ends, length)
    context = np.where(real[..., None], data.context[source], 0)
    context = np.concatenate([context, np.zeros_like(context[:, :1])], axis=1)
    profile = torch.from_numpy(data.features.profile[step.users]).long()
    return profile, torch.from_numpy(context)


def tower_ranks(model: MultiTaskModel, features: Features, asked: Watched) -> NDArray[np.int64]:
    """Rank of each asked row's item among its rivals that the user has not had before, by the towers alone; [S]."""
    vectors = item_vectors(model, features)
    users = user_vectors(model, asked.moments, asked.rows, vectors, features.profile, asked.context)
    met = features.known
    return np.asarray(
        [_rank(asked.moments, row, vectors @ user, met) for row, user in zip(asked.rows, users, strict=True)]
    )


def _rank(moments: Moments, row: int, scores: NDArray[np.float32], met: NDArray[np.bool_]) -> int:
    target = int(moments.log.item[row])
    history = moments.history(int(row)).rows
    if target in history:
        return int(MISSED)
    aim = scores[target]
    scores[history] = -np.inf
    scores[~rivals(met, target)] = -np.inf
    return int((scores > aim).sum())
