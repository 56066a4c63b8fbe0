"""Distillation: a cross-encoder learns the slates' labels from text alone, then its soft labels teach the ranker.

The soft labels cover every candidate of the slates that the teacher has read, labelled or not: of most candidates the
log says nothing, the teacher does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.data.log import Records
from model.features.spec import FeatureSpec, Values
from model.nn import losses
from model.nn.encoder import TextEncoder
from model.nn.heads import TaskValues
from model.nn.settings import NetSettings
from model.nn.teacher import ITEM_TOKENS, USER_TOKENS, Teacher
from model.train.loop import Schedule, check_loss
from model.train.slates import EMPTY, Slates

EVENTS = 10  # newest of the history that the teacher reads
EPOCHS, RATE, BATCH = 3, 1e-3, 16  # slates a step
SAMPLE = 8  # candidates of a slate a step: what happened, and some of the rest
TEMPERATURE = 2.0

Tokens = NDArray[np.int64]
LossOf = Callable[[Tensor, Slates, NDArray[np.float32], TaskValues], Tensor]


class Reader:
    """What is told of users and items, as token ids: titles by row, events with type and value, profiles as words."""

    def __init__(self, encoder: TextEncoder, spec: FeatureSpec, texts: Sequence[str], profiles: Sequence[str]) -> None:
        self.encoder, self.spec = encoder, spec
        self.items = [self._ids(text)[:ITEM_TOKENS] for text in texts]
        self.profiles = [self._ids(text) for text in profiles]
        self._known: dict[tuple[int, int, float], list[int]] = {}

    def words(self) -> Tensor:
        """The encoder's vectors of its tokens, [vocabulary, W]."""
        net = self.encoder.net
        table = net.get_input_embeddings() if hasattr(net, "get_input_embeddings") else net.embedding
        words: Tensor = table.weight.detach().clone()
        return words

    def users(self, slates: Slates) -> Tokens:
        """Profile, then the newest events first, int64 [S, USER_TOKENS], −1 where nothing more is told."""
        found = np.full((len(slates), USER_TOKENS), -1, np.int64)
        for place, user in enumerate(slates.user):
            told = list(self.profiles[user])
            for back in range(1, min(EVENTS, slates.rows.shape[1]) + 1):
                kind = int(slates.types[place, -back])
                told += self._event(int(slates.rows[place, -back]), kind, float(slates.values[place, -back]))
            told = told[:USER_TOKENS]
            found[place, : len(told)] = told
        return found

    def candidates(self, rows: NDArray[np.int64]) -> Tokens:
        """Titles of candidates [...], int64 [..., ITEM_TOKENS]; rows beyond the catalogue are its items once more."""
        table = np.full((len(self.items) + 1, ITEM_TOKENS), -1, np.int64)
        for row, ids in enumerate(self.items):
            table[row, : len(ids)] = ids
        found: Tokens = table[np.where(rows < 0, len(self.items), rows % len(self.items))]
        return found

    def _event(self, row: int, kind: int, value: float) -> list[int]:
        if kind == 0:
            return []
        key = (row % len(self.items), kind, round(value, 2))
        if key not in self._known:
            low, high = self.spec.value_low, self.spec.value_high
            self._known[key] = self._ids(f"{self.spec.event_types[kind - 1]} {low + value * (high - low):.3g}")
        return [*self._known[key], *self.items[key[0]]]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.encoder.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return ids


def profile_texts(records: Records, users: int) -> list[str]:
    """Each user's profile in words, "" where nothing is told."""
    return [", ".join(_words(records.attributes(row))) for row in range(users)]


def _words(record: Mapping[str, Values]) -> Iterator[str]:
    for name, value in record.items():
        many = [value] if isinstance(value, str | int | float | bool) or value is None else list(value)
        yield f"{name} {' '.join(str(one) for one in many)}"


def fit_teacher(
    reader: Reader,
    parts: Sequence[Slates],
    labels: Sequence[NDArray[np.float32]],
    settings: NetSettings,
    loss_of: LossOf,
    generator: np.random.Generator,
) -> Teacher:
    """A teacher of the spec's tasks, fitted on slates and their labels [S, C, T], a batch of one part at a time.

    `loss_of` is the loss of raw readings of some slates under their labels. Raises TrainingError on a degenerate loss.
    """
    teacher = Teacher(reader.words(), reader.spec, settings)
    optimiser = torch.optim.AdamW(teacher.parameters(), RATE)
    steps = EPOCHS * sum(-(-len(part) // BATCH) for part in parts)
    schedule = Schedule(optimiser, steps, 0.1)
    teacher.train()
    for _ in range(EPOCHS):
        for place, some in batches([len(part) for part in parts], generator):
            shown = sampled(parts[place].role[some], SAMPLE, generator)
            slates = narrowed(parts[place].take(some), shown)
            truth = np.take_along_axis(labels[place][some], shown[..., None], axis=1)
            optimiser.zero_grad(set_to_none=True)
            loss = loss_of(read(teacher, reader, slates), slates, truth, teacher.values)
            check_loss("teacher loss", loss.item())
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            torch.nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
            schedule.step()
    return teacher.eval()


def batches(sizes: Sequence[int], generator: np.random.Generator) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """A part and places in it, BATCH at a time, in random order until every part is through."""
    drawn = [
        (part, some)
        for part, size in enumerate(sizes)
        for some in np.array_split(generator.permutation(size), -(-size // BATCH))
    ]
    yield from (drawn[at] for at in generator.permutation(len(drawn)))


def read(teacher: Teacher, reader: Reader, slates: Slates) -> Tensor:
    """The teacher's raw readings of slates, [S, C, T]."""
    users, items = (trimmed(part) for part in (reader.users(slates), reader.candidates(slates.candidates)))
    raw: Tensor = teacher(torch.from_numpy(users), torch.from_numpy(items))
    return raw


def trimmed(tokens: Tokens) -> Tokens:
    """Tokens [..., S] without the last places that nobody uses, at least one place."""
    used = np.flatnonzero((tokens >= 0).reshape(-1, tokens.shape[-1]).any(0))
    return tokens[..., : int(used.max(initial=0)) + 1]


def narrowed(slates: Slates, shown: NDArray[np.int64]) -> Slates:
    """Slates of some of their candidates, places int64 [S, C'] (what the ranker reads of them is left as it was)."""
    kept = {name: np.take_along_axis(getattr(slates, name), shown, axis=1) for name in ("candidates", "role")}
    return slates.replaced(**kept, labels=np.take_along_axis(slates.labels, shown[..., None], axis=1))


def sampled(role: NDArray[np.int8], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Places [S, count'] of candidates: the first, then others at random, padding only where there is nothing else."""
    order = generator.random(role.shape) + (role == EMPTY)
    order[:, 0] = -1.0
    return np.argsort(order, axis=1)[:, :count]


@torch.no_grad()
def soft_labels(teacher: Teacher, reader: Reader, slates: Slates) -> NDArray[np.float32]:
    """What a teacher says of all candidates: logits and values float32 [S, C, T], NaN for padding."""
    places = range(0, len(slates), BATCH)
    said = [teacher.values(read(teacher, reader, slates.take(slice(at, at + BATCH)))).numpy() for at in places]
    return np.where((slates.role == EMPTY)[..., None], np.float32(np.nan), np.concatenate(said))


@dataclass(frozen=True, slots=True)
class Taught:
    """Soft labels of slates, found again by moment and candidates, and their weight in the ranker's loss."""

    weight: float
    soft: Mapping[bytes, NDArray[np.float32]]

    @classmethod
    def of(cls, weight: float, parts: Sequence[Slates], soft: Sequence[NDArray[np.float32]]) -> "Taught":
        """The soft labels [S, C, T] of the slates of some parts."""
        pairs = (zip(_keys(part), told, strict=True) for part, told in zip(parts, soft, strict=True))
        return cls(weight, dict(pair for some in pairs for pair in some))

    def labels(self, slates: Slates, tasks: int) -> NDArray[np.float32]:
        """Soft labels [B, C, T] of some slates; NaN for those that no teacher has read."""
        nothing = np.full((slates.candidates.shape[1], tasks), np.nan, np.float32)
        return np.stack([self.soft.get(key, nothing) for key in _keys(slates)])

    def loss(self, slates: Slates, raw: Tensor, values: TaskValues) -> Tensor:
        """How far raw readings [B, C, T] are from the soft labels by task, weighted, [T]; 0 where there are none."""
        return self.weight * distillation(raw, torch.from_numpy(self.labels(slates, raw.shape[-1])), values)


def distillation(raw: Tensor, soft: Tensor, values: TaskValues) -> Tensor:
    """A student's distance by task, [T], from a teacher's logits and values; both [B, C, T], NaN: not taught.

    Logits meet as probabilities at TEMPERATURE (cross-entropy, times its square, so that gradients keep their size);
    values of regression and ordinal tasks by squared error in quarters of the range.
    """
    read, found = values(raw), []
    for place, task in enumerate(values.tasks):
        target = soft[..., place]
        if task.kind in ("regression", "ordinal"):
            found.append(losses.regression(read[..., place], target, task.high - task.low))
        else:
            softened = (target / TEMPERATURE).sigmoid()
            found.append(TEMPERATURE**2 * losses.binary(raw[..., place] / TEMPERATURE, softened))
    return torch.stack(found)


def _keys(slates: Slates) -> Iterator[bytes]:
    """What tells slates apart: the row of the log and the candidates."""
    for row, candidates in zip(slates.row, slates.candidates, strict=True):
        yield int(row).to_bytes(8, "little", signed=True) + candidates.tobytes()
