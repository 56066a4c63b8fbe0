"""What every training loop shares: the learning rate's course, early stopping, refusing a degenerate loss."""

import copy
import math

import torch
from torch import nn

from model.errors import TrainingError


class Schedule:
    """Linear warm-up, then a cosine down to a tenth; `step` also steps the optimiser."""

    def __init__(self, optimiser: torch.optim.Optimizer, steps: int, warmup: float) -> None:
        self.optimiser, self.steps, self.warm = optimiser, max(steps, 1), max(int(steps * warmup), 1)
        self.rates = [group["lr"] for group in optimiser.param_groups]
        self.done = 0

    def factor(self) -> float:
        """Part of the full rate that the next step takes."""
        if self.done < self.warm:
            return (self.done + 1) / self.warm
        way = min((self.done - self.warm) / max(self.steps - self.warm, 1), 1.0)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * way))

    def step(self) -> None:
        """One step of the optimiser at the rate of the moment."""
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.factor()
        self.optimiser.step()
        self.done += 1


class Stopper:
    """Keeps the best state by a figure that should grow; says when `patience` epochs brought nothing.

    Epoch 0 is the start. What begins well (from a factorisation, say) may have to get worse before it gets better than
    that, so patience counts from the best epoch of learning, and the start is what stays when none is better.
    """

    def __init__(self, model: nn.Module, patience: int) -> None:
        self.model, self.patience = model, patience
        self.best, self.epoch = -math.inf, 0
        self.height, self.peak = -math.inf, 0  # of epochs of learning
        self.state = copy.deepcopy(model.state_dict())

    def worse(self, figure: float, epoch: int) -> bool:
        """Take note of an epoch's figure; True when it is time to stop. Raises TrainingError for a figure of NaN."""
        if math.isnan(figure):
            raise TrainingError("validation figure", figure, "lower the learning rate or check the features")
        if figure > self.best:
            self.best, self.epoch = figure, epoch
            self.state = copy.deepcopy(self.model.state_dict())
        if epoch and figure > self.height:
            self.height, self.peak = figure, epoch
        return epoch - self.peak >= self.patience

    def restore(self, last: int) -> int:
        """Go back to the best epoch's state; its number (`last` when nothing was noted)."""
        self.model.load_state_dict(self.state)
        return last if self.best == -math.inf else self.epoch


def check_loss(name: str, value: float) -> float:
    """The loss, if it is a number; raises TrainingError otherwise."""
    if not math.isfinite(value):
        raise TrainingError(name, value, "lower the learning rate, or check labels and features for infinities")
    return value


def batch_size(wanted: int, examples: int, steps: int = 25) -> int:
    """The wanted size, smaller where an epoch would otherwise have fewer than `steps` steps (but never below 8)."""
    return max(min(wanted, examples // steps), min(wanted, 8))
