"""Self-supervision of the user tower: fill in masked items (S3-Rec, Zhou et al. 2020), and know a user by any view."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.nn import losses
from model.nn.model import MultiTaskModel
from model.train.passage import Passage
from model.train.views import GONE, random_view, rearranged

MASKED = 0.2  # share of the events that are filled in


def supervision_loss(model: MultiTaskModel, passage: Passage, generator: np.random.Generator) -> Tensor:
    """Both losses of one step."""
    return masked_loss(model, passage, drawn(passage, generator)) + contrast_loss(model, passage, generator)


def drawn(passage: Passage, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Events to be filled in, bool [B, L]."""
    hidden: NDArray[np.bool_] = passage.real() & (generator.random(passage.windows.rows.shape) < MASKED)
    return hidden


def masked_loss(model: MultiTaskModel, passage: Passage, hidden: NDArray[np.bool_]) -> Tensor:
    """Cross-entropy of the hidden events (bool [B, L]) given all others, before and after; 0 when none is hidden."""
    if not hidden.any():
        return torch.zeros(())
    order = np.where(hidden, GONE, np.arange(hidden.shape[1]))
    inputs = passage.inputs(rearranged(passage.windows, order))
    return passage.next_item(model.user_vectors_around(inputs), hidden)


def contrast_loss(model: MultiTaskModel, passage: Passage, generator: np.random.Generator) -> Tensor:
    """InfoNCE between two random views of each user's history, which show what was done and nothing else."""
    _, first = np.unique(passage.users, return_index=True)  # another window of the same user is no wrong answer
    nobody = {"profile": torch.zeros_like(passage.profile), "context": passage.context[:, -1] * 0}
    views = [model.user_vectors(passage.inputs(random_view(passage.windows, generator)) | nobody) for _ in range(2)]
    return losses.info_nce(views[0][torch.from_numpy(first)], views[1][torch.from_numpy(first)])
