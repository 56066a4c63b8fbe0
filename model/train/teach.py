"""From a recipe's slates to what a teacher says of them: how distillation enters the ranker's training."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import Recipe
from model.data.log import Dataset
from model.nn.encoder import TextEncoder
from model.nn.heads import TaskValues
from model.nn.settings import NetSettings
from model.train.distill import LossOf, Reader, Taught, fit_teacher, profile_texts, soft_labels
from model.train.rank import Objective, raw_losses
from model.train.slates import Slates
from model.train.texts import catalogue_texts


def teach(
    recipe: Recipe,
    dataset: Dataset,
    objective: Objective,
    parts: Sequence[Slates],
    nets: NetSettings,
    generator: np.random.Generator,
) -> Taught:
    """Fit a teacher on at most `teacher_slates` slates and keep what it says of them."""
    settings = recipe.training
    encoder = TextEncoder(settings.encoder, settings.max_tokens)
    texts = catalogue_texts(recipe.items.text if recipe.items else (), dataset)
    reader = Reader(encoder, objective.spec, texts, profile_texts(dataset.user_records, len(dataset.users)))
    some = capped(parts, settings.teacher_slates, generator)
    labels = [objective.labels(part) for part in some]
    teacher = fit_teacher(reader, some, labels, nets, loss_of(objective), generator)
    return Taught.of(settings.distill, some, [soft_labels(teacher, reader, part) for part in some])


def loss_of(objective: Objective) -> LossOf:
    """The loss by which a teacher learns: the ranker's own, every task by its weight."""
    weights = torch.tensor([task.weight for task in objective.tasks])

    def loss(raw: Tensor, slates: Slates, labels: NDArray[np.float32], values: TaskValues) -> Tensor:
        return weights @ raw_losses(objective, values, slates, labels, raw)

    return loss


def capped(parts: Sequence[Slates], most: int, generator: np.random.Generator) -> list[Slates]:
    """At most `most` slates, of each part its share."""
    total = sum(len(part) for part in parts)
    found = []
    for part in parts:
        count = min(len(part), -(-len(part) * most // total))
        found.append(part.take(np.sort(generator.permutation(len(part))[:count])))
    return found
