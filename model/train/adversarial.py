"""Adversarial training of the ranker: item vectors moved a little where it hurts most (APR, He et al. 2018)."""

from collections.abc import Callable

import torch
from torch import Tensor

from model.train.batches import Batch

MOVED = ("candidate_vectors", "history_vectors")


def robust(losses_of: Callable[[Batch], Tensor], inputs: Batch, weights: Tensor, epsilon: float) -> Tensor:
    """Mean of the tasks' losses [T] on inputs as they are and on inputs moved against them.

    weights [T] are the tasks' parts in the direction; epsilon is how far each vector goes, where item vectors are about
    1 long. Costs three passes instead of one.
    """
    leaves = {name: inputs[name].detach().requires_grad_() for name in MOVED}
    clean = losses_of(inputs | leaves)
    gradients = torch.autograd.grad((weights * clean).sum(), list(leaves.values()), retain_graph=True)
    return (clean + losses_of(inputs | moved(inputs, dict(zip(MOVED, gradients, strict=True)), epsilon))) / 2


def moved(inputs: Batch, gradients: Batch, epsilon: float) -> Batch:
    """Each vector [..., D] `epsilon` along its own gradient (fast gradient method, Miyato et al. 2017)."""
    found = {}
    for name, gradient in gradients.items():
        length = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
        step = torch.where(length > 0, gradient / length.clamp(min=1e-30), 0.0)  # padding has no gradient and stays
        found[name] = inputs[name].detach() + epsilon * step
    return found
