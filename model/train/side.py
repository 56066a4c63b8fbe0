"""Side tasks: what an item's or a user's vector should know besides whom it suits, where a recipe declares it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import Recipe, Task
from model.data.log import Dataset
from model.features.spec import AttributeSpec
from model.nn import losses
from model.nn.model import MultiTaskModel
from model.train.arrays import Features
from model.train.passage import Passage
from model.train.supervision import supervision_loss

SAMPLE = 256  # items and links a step
CORRUPTED = 32  # false tails a true link competes with


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a step's side tasks may read: the nets, items, the towers' windows, the graph's triples int64 [m, 3]."""

    model: MultiTaskModel
    features: Features
    passage: Passage
    triples: NDArray[np.int64] | None
    generator: np.random.Generator


@dataclass(frozen=True, slots=True)
class SideLosses:
    """The side tasks of a recipe, and the graph's triples int64 [m, 3]; one of weight 0 is as if not declared."""

    tasks: tuple[Task, ...] = ()
    triples: NDArray[np.int64] | None = None

    def loss(
        self, model: MultiTaskModel, features: Features, passage: Passage, generator: np.random.Generator
    ) -> Tensor:
        """The weighted side losses of a step."""
        total, lesson = torch.zeros(()), Lesson(model, features, passage, self.triples, generator)
        for task in self.tasks:
            if task.weight:
                total = total + task.weight * LEARNED[task.kind](task, lesson)
        return total


def side_losses(recipe: Recipe, dataset: Dataset) -> SideLosses:
    """The side tasks that a recipe declares."""
    return SideLosses(recipe.side_tasks, None if dataset.graph is None else dataset.graph.triples)


def attributes_task(task: Task, lesson: Lesson) -> Tensor:
    """Attributes of a random sample of items."""
    rows = lesson.generator.integers(0, len(lesson.features), min(SAMPLE, len(lesson.features)))
    spec = lesson.model.spec
    among = told_ids(task, spec.attributes, spec.attribute_vocabulary)
    return attribute_loss(lesson.model, lesson.features, rows, among)


def attribute_loss(
    model: MultiTaskModel, features: Features, rows: NDArray[np.int64], among: Tensor | None = None
) -> Tensor:
    """How well the vectors of items, made without their attributes, tell these (`among`: only ids that it marks)."""
    items = features.items(rows)
    hidden = torch.zeros_like(items.attributes)
    graph = model.graph_encoder(items.entity)
    vectors = model.item_tower(items.item_id, items.text, hidden, graph)
    logits = model.sides.attribute_logits(vectors * vectors.shape[-1] ** 0.5)
    return losses.attributes(logits, items.attributes, among)


def links_task(task: Task, lesson: Lesson) -> Tensor:  # noqa: ARG001  # the interface
    """A sample of the graph's links."""
    triples = lesson.triples
    return torch.zeros(()) if triples is None else link_loss(lesson.model, triples, lesson.generator)


def link_loss(model: MultiTaskModel, triples: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
    """How well a sample of true links scores against the same links with random tails."""
    some = torch.from_numpy(triples[generator.integers(0, len(triples), min(SAMPLE, len(triples)))])
    false = torch.from_numpy(generator.choice(triples[:, 2], (len(some), CORRUPTED)))
    score = model.graph_encoder.score
    wrong = score(some[:, :1], some[:, 1:2], false)
    return losses.links(score(some[:, 0], some[:, 1], some[:, 2]), wrong)


def profile_task(task: Task, lesson: Lesson) -> Tensor:
    """How well the users' vectors, made of what they did alone, tell their profiles."""
    passage, spec = lesson.passage, lesson.model.spec
    inputs = passage.inputs() | {"profile": torch.zeros_like(passage.profile), "context": passage.context[:, -1] * 0}
    logits = lesson.model.sides.profile_logits(lesson.model.user_vectors(inputs))
    return losses.attributes(logits, passage.profile, told_ids(task, spec.profile, spec.profile_vocabulary))


def scene_task(task: Task, lesson: Lesson) -> Tensor:  # noqa: ARG001  # the interface
    """How well users' vectors, made without it, tell the context in which the next event happens; mean over columns."""
    passage = lesson.passage
    inputs = passage.inputs() | {"context": torch.zeros_like(passage.context)}
    real = torch.from_numpy(passage.real())
    made = lesson.model.user_vectors_all(inputs)[:, :-1][real]
    truth, total = passage.context[:, :-1][real], torch.zeros(())
    columns = lesson.model.sides.context_logits(made)
    for place, logits in enumerate(columns):
        ids = truth[:, place]
        each = torch.nn.functional.cross_entropy(logits, ids, reduction="none")
        total = total + losses.weighted_mean(each, (ids > 0).float()) / len(columns)
    return total


def supervision_task(task: Task, lesson: Lesson) -> Tensor:  # noqa: ARG001  # the interface
    """Masked items, and views of one history that should find each other."""
    return supervision_loss(lesson.model, lesson.passage, lesson.generator)


LEARNED: Mapping[str, Callable[[Task, Lesson], Tensor]] = {
    "item_attributes": attributes_task,
    "user_profile": profile_task,
    "scene": scene_task,
    "graph_links": links_task,
    "self_supervision": supervision_task,
}


def told_ids(task: Task, specs: Sequence[AttributeSpec], vocabulary: int) -> Tensor:
    """Which ids a task is about, bool [vocabulary]: of its `attributes`, else of the one of its name, else all."""
    named = [spec for spec in specs if spec.name in (task.attributes or (task.name,))]
    found = torch.zeros(vocabulary, dtype=torch.bool)
    for spec in named or specs:
        found[spec.offset : spec.offset + spec.size] = True
    return found
