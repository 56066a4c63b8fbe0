"""Tuning the text encoder before the towers read it: texts of items that belong together come to lie close.

Two losses at once: pairs of kin find each other among the other texts of a batch (InfoNCE; kin by the users who met
both, and by graph or attributes), and a text's vector tells the item's attributes. A tenth of the items is held out of
both; the state that ranks *their* kin best is kept, so what is learned is what carries over to items never seen.
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.config import Training
from model.errors import TrainingError
from model.nn import losses
from model.nn.encoder import TextEncoder
from model.train.kin import Kin, Pairs
from model.train.loop import Schedule, Stopper, check_loss

log = logging.getLogger(__name__)
RATES = {"lora": 1e-3, "full": 5e-5}
BATCH = 32  # pairs a step
EVERY, PATIENCE = 50, 2  # steps between looks at the held-out items, and looks without gain
HELD_SHARE, HELD_MOST = 0.1, 200
SHOWN = 1500  # items, at most, among which held-out ones look for their kin
FOUND_AT = 20
TEMPERATURE = 0.1
ATTRIBUTE_WEIGHT = 0.3

Note = Callable[[int, dict[str, float]], None]


def tune(
    encoder: TextEncoder,
    texts: Sequence[str],
    kin: Kin,
    settings: Training,
    generator: np.random.Generator,
    note: Note,
) -> dict[str, float]:
    """Tune an encoder in place; what the held-out items found before and after, and after how many steps.

    `texts` are the catalogue's by row, "" where nothing is told; `note` hears the step and figures of every look. The
    result is never worse on held-out items than the encoder given. Raises TrainingError without kin to learn from.
    """
    held = held_out(kin, generator)
    pairs = Pairs(kin, ~np.isin(np.arange(len(texts)), held))
    if not len(held) or not len(pairs.anchors):
        move = "use frozen: too few items with a text have events, so there is nothing to tune on"
        raise TrainingError("training.encoder_mode", settings.encoder_mode, move)
    look = Look(encoder, texts, kin, held, generator)
    lesson = Lesson(encoder, texts, kin, pairs, generator)
    return _run(lesson, look, settings, note)


def held_out(kin: Kin, generator: np.random.Generator) -> NDArray[np.int64]:
    """Rows of the items that tuning does not see: a share of those with kin by users, ascending."""
    known = np.flatnonzero(kin.known)
    count = min(int(np.ceil(len(known) * HELD_SHARE)), HELD_MOST, len(known) // 2)
    return np.sort(generator.permutation(known)[:count])


class Lesson(nn.Module):
    """The encoder with its loss over a batch of drawn pairs."""

    def __init__(
        self, encoder: TextEncoder, texts: Sequence[str], kin: Kin, pairs: Pairs, generator: np.random.Generator
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.told = nn.Linear(encoder.width, kin.vocabulary)
        self.texts, self.kin, self.pairs, self.generator = texts, kin, pairs, generator

    def forward(self) -> Tensor:
        """Loss of BATCH fresh pairs."""
        rows, near = self.pairs.draw(BATCH, self.generator)
        vectors = self.encoder(*self.encoder.tokens([self.texts[row] for row in [*rows, *near]]))
        related = torch.from_numpy(self.kin.related(rows, near))
        loss = losses.info_nce(vectors[: len(rows)], vectors[len(rows) :], TEMPERATURE, related)
        return loss + ATTRIBUTE_WEIGHT * self._attribute_loss(np.concatenate([rows, near]), vectors)

    def _attribute_loss(self, rows: NDArray[np.int64], vectors: Tensor) -> Tensor:
        ids = torch.from_numpy(self.kin.attributes[rows]).long()
        return losses.attributes(self.told(vectors * vectors.shape[-1] ** 0.5), ids)


class Look:
    """How well held-out items find their kin among all, by text alone: recall at FOUND_AT."""

    def __init__(
        self,
        encoder: TextEncoder,
        texts: Sequence[str],
        kin: Kin,
        held: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> None:
        others = np.setdiff1d(np.flatnonzero(kin.told), held)
        self.shown = np.concatenate([held, np.sort(generator.permutation(others)[: SHOWN - len(held)])])
        self.encoder, self.texts = encoder, [texts[row] for row in self.shown]
        self.truth = [np.flatnonzero(np.isin(self.shown, kin.together.of(int(row)).rows)) for row in held]

    def __call__(self) -> float:
        """Mean share of an item's shown kin among the FOUND_AT texts nearest to its own."""
        vectors = self.encoder.encode(self.texts).numpy()
        scores = vectors[: len(self.truth)] @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        near = np.argsort(-scores, axis=1, kind="stable")[:, :FOUND_AT]
        found = [
            np.isin(truth, some).sum() / min(len(truth), FOUND_AT)
            for truth, some in zip(self.truth, near, strict=True)
            if len(truth)
        ]
        return float(np.mean(found)) if found else 0.0


def _run(lesson: Lesson, look: Look, settings: Training, note: Note) -> dict[str, float]:
    """Step, look now and then, go back to the best."""
    learning = [one for one in lesson.parameters() if one.requires_grad]
    rate = settings.encoder_rate or RATES[settings.encoder_mode]
    optimiser = torch.optim.AdamW(learning, rate, weight_decay=settings.weight_decay)
    schedule, stopper = Schedule(optimiser, settings.encoder_steps, settings.warmup), Stopper(lesson, PATIENCE * EVERY)
    before = look()
    stopper.worse(before, 0)
    for step in range(1, settings.encoder_steps + 1):
        lesson.train()
        optimiser.zero_grad()
        loss = lesson()
        check_loss("encoder loss", loss.item())
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        schedule.step()
        if step % EVERY == 0 or step == settings.encoder_steps:
            found = look()
            note(step, {"encoder/loss": loss.item(), f"encoder/recall@{FOUND_AT}": found})
            if stopper.worse(found, step):
                break
    lesson.load_state_dict(stopper.state)
    lesson.eval()
    return {"frozen": before, "tuned": stopper.best, "steps": stopper.epoch}
