"""How the losses of several tasks become one step: interchangeable strategies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from model.errors import TrainingError
from model.nn.ranker import Shared


class Weighting(Protocol):
    """From one loss a task to gradients of everything that is learned."""

    def descend(self, losses: Tensor, shared: Shared) -> None:
        """Fill the gradients of all parameters behind the tasks' losses [T]; they hold none before.

        `shared` are the parameters that more than one task reads. A task without labels has a loss of 0 and moves
        nothing.
        """
        ...

    def epoch_ends(self, losses: Sequence[float]) -> None:
        """Take note of the tasks' mean losses over an epoch."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the strategy itself learns by the losses."""
        ...

    def weights(self) -> list[float]:
        """The factors of the moment, for the curves."""
        ...


class Fixed:
    """The recipe's weights, as they are."""

    def __init__(self, weights: Sequence[float]) -> None:
        self.given = torch.tensor(list(weights), dtype=torch.float32)

    def total(self, losses: Tensor) -> Tensor:
        """Σ weight · loss."""
        return (self.given * losses).sum()

    def descend(self, losses: Tensor, shared: Shared) -> None:  # noqa: ARG002  # the interface
        """Gradients of `total`."""
        torch.autograd.backward(self.total(losses))

    def epoch_ends(self, losses: Sequence[float]) -> None:
        """Nothing to note."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """None."""
        return iter(())

    def weights(self) -> list[float]:
        """The recipe's weights."""
        return [float(weight) for weight in self.given]


class Uncertainty(Fixed):
    """Σ weight · (e^-s · loss + s) with one learned s a task (Kendall, Gal & Cipolla 2018)."""

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__(weights)
        self.log_variance = nn.Parameter(torch.zeros(len(self.given)))

    def total(self, losses: Tensor) -> Tensor:
        """Noisy tasks count less; s keeps them from not counting at all."""
        known = (losses.detach() > 0).float()  # a batch without labels of a task says nothing about its noise
        return (self.given * known * (torch.exp(-self.log_variance) * losses + self.log_variance)).sum()

    def parameters(self) -> Iterator[nn.Parameter]:
        """The log variances."""
        return iter((self.log_variance,))

    def weights(self) -> list[float]:
        """weight · e^-s."""
        return [float(weight) for weight in self.given * torch.exp(-self.log_variance.detach())]


class DynamicAverage(Fixed):
    """Dynamic weight average (Liu, Johns & Davison 2019): tasks whose loss falls slowly count more."""

    TEMPERATURE = 2.0

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__(weights)
        self.past: list[Sequence[float]] = []
        self.factor = torch.ones(len(self.given))

    def total(self, losses: Tensor) -> Tensor:
        """Σ weight · factor · loss."""
        return (self.given * self.factor * losses).sum()

    def epoch_ends(self, losses: Sequence[float]) -> None:
        """New factors from the ratio of the last two epochs' losses; they sum to the number of tasks."""
        self.past = [*self.past[-1:], losses]
        if len(self.past) == 2:
            before, now = (np.asarray(one, np.float64) for one in self.past)
            ratio = np.where(before > 0, now / np.where(before > 0, before, 1.0), 1.0)
            grown = np.exp(ratio / self.TEMPERATURE)
            self.factor = torch.from_numpy(len(ratio) * grown / grown.sum()).float()

    def weights(self) -> list[float]:
        """weight · factor."""
        return [float(weight) for weight in self.given * self.factor]


class GradNorm(Fixed):
    """Gradients of all tasks on the last shared layer are made alike, longer for tasks that train slowly.

    Chen et al. 2018. The balance is between the tasks' own losses; a recipe's weight multiplies what comes out of it,
    or it would be balanced away. How far a task has come is read of a running mean: a batch holds few labels of a rare
    one. Factors move by steps relative to the mean gradient; those of the tasks in a batch keep their sum.
    """

    ASYMMETRY = 1.5  # α of the paper: 0 makes all gradients equally long
    RATE = 0.025
    MEMORY = 0.9
    LEAST = 0.01

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__(weights)
        self.factor = torch.ones(len(self.given))
        self.first = torch.zeros(len(self.given))  # 0: not seen yet
        self.mean = torch.zeros(len(self.given))

    def total(self, losses: Tensor) -> Tensor:
        """Σ weight · factor · loss."""
        return (self.given * self.factor * losses).sum()

    def descend(self, losses: Tensor, shared: Shared) -> None:
        """Balance the factors by the gradients of the moment, then gradients of `total`."""
        known = _known(losses, self.given)
        self._remember(losses.detach(), known)
        if len(known) > 1:
            length = torch.stack([_flat(_gradients(losses[task], shared.last)).norm() for task in known])
            self._balance(length, known)
        super().descend(losses, shared)

    def _remember(self, losses: Tensor, known: list[int]) -> None:
        for task in known:
            if self.first[task] == 0:
                self.first[task] = self.mean[task] = losses[task]
            self.mean[task] = self.MEMORY * self.mean[task] + (1 - self.MEMORY) * losses[task]

    def _balance(self, length: Tensor, known: list[int]) -> None:
        """One step of the factors down Σ|factor · length - target|; `length` [k] of the gradients of `known`."""
        factor = self.factor[known]
        left = self.mean[known] / self.first[known]
        average = (factor * length).mean().clamp(min=1e-12)
        target = average * (left / left.mean()) ** self.ASYMMETRY
        moved = factor - self.RATE * torch.sign(factor * length - target) * length / average
        moved = moved.clamp(min=self.LEAST)
        self.factor[known] = moved * factor.sum() / moved.sum()

    def weights(self) -> list[float]:
        """weight · factor."""
        return [float(weight) for weight in self.given * self.factor]


class PCGrad(Fixed):
    """Project conflicting gradients (Yu et al. 2020): of each task's gradient on what is shared, the part that works
    against another task's is taken out; the others are met in random order. What belongs to one task follows its own.
    """

    def __init__(self, weights: Sequence[float], generator: np.random.Generator | None = None) -> None:
        super().__init__(weights)
        self.generator = np.random.default_rng(0) if generator is None else generator

    def descend(self, losses: Tensor, shared: Shared) -> None:
        """One backward pass a task; the gradients of what is shared are projected, then summed."""
        known, found = _known(losses, self.given), []
        for task in known:
            torch.autograd.backward(self.given[task] * losses[task], retain_graph=task != known[-1])
            found.append(torch.cat([_taken(one).flatten() for one in shared.everything]))
        if found:
            _give(shared.everything, self.projected(torch.stack(found)).sum(0))

    def projected(self, gradients: Tensor) -> Tensor:
        """Each task's gradient [k, n] without what conflicts with the others' original ones."""
        made = gradients.clone()
        squares = gradients.square().sum(-1).clamp(min=1e-20)
        for mine in range(len(gradients)):
            for other in self.generator.permutation(len(gradients)):
                along = made[mine] @ gradients[other]
                if other != mine and along < 0:
                    made[mine] -= along / squares[other] * gradients[other]
        return made


def _known(losses: Tensor, given: Tensor) -> list[int]:
    """Tasks that have a loss in this batch and a weight."""
    return [int(task) for task in torch.nonzero((losses.detach() > 0) & (given > 0)).flatten()]


def _gradients(loss: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Gradients of a loss; zeros where it does not reach."""
    found = torch.autograd.grad(loss, list(parameters), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(one) if it is None else it for one, it in zip(parameters, found, strict=True)]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([one.flatten() for one in tensors])


def _taken(parameter: nn.Parameter) -> Tensor:
    """The gradient of a parameter (zeros when it has none), which is then without one."""
    gradient, parameter.grad = parameter.grad, None
    return torch.zeros_like(parameter) if gradient is None else gradient


def _give(parameters: Sequence[nn.Parameter], flat: Tensor) -> None:
    """Parts of `flat` as the parameters' gradients."""
    parts = torch.split(flat, [one.numel() for one in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter).clone()


STRATEGIES: Mapping[str, type[Fixed]] = {
    "fixed": Fixed, "uncertainty": Uncertainty, "dwa": DynamicAverage, "gradnorm": GradNorm, "pcgrad": PCGrad,
}  # fmt: skip


def make_weighting(name: str, weights: Sequence[float], generator: np.random.Generator | None = None) -> Weighting:
    """A strategy by name, with its randomness; raises TrainingError for one that is not there."""
    if name not in STRATEGIES:
        raise TrainingError("training.weighting", name, f"use one of {', '.join(STRATEGIES)}")
    return PCGrad(weights, generator) if name == "pcgrad" else STRATEGIES[name](weights)
