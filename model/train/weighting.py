"""How the losses of several tasks become one: interchangeable strategies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from model.errors import TrainingError


class Weighting(Protocol):
    """From one loss a task to the loss that is descended."""

    def total(self, losses: Tensor) -> Tensor:
        """One number out of the tasks' losses [T]."""
        ...

    def epoch_ends(self, losses: Sequence[float]) -> None:
        """Take note of the tasks' mean losses over an epoch."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the strategy itself learns."""
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


STRATEGIES: Mapping[str, type[Fixed]] = {"fixed": Fixed, "uncertainty": Uncertainty, "dwa": DynamicAverage}


def make_weighting(name: str, weights: Sequence[float]) -> Weighting:
    """A strategy by name; raises TrainingError for one that is not there."""
    if name not in STRATEGIES:
        raise TrainingError("training.weighting", name, f"use one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name](weights)
