"""Per-task heads: a vector a task → a raw reading a task, and what that reading means for each kind of task."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from model.features.spec import TaskSpec
from model.nn.layers import task_key
from model.nn.settings import NetSettings


class Heads(nn.Module):
    """One two-layer net a task, plus a linear path from the features; parameters are kept by task name."""

    def __init__(self, tasks: Sequence[TaskSpec], features: int, settings: NetSettings) -> None:
        super().__init__()
        self.keys = [task_key(task.name) for task in tasks]
        hidden = {key: nn.Linear(settings.expert_output, settings.head_width) for key in self.keys}
        self.hidden = nn.ParameterDict({key: layer.weight for key, layer in hidden.items()})
        self.hidden_bias = nn.ParameterDict({key: layer.bias for key, layer in hidden.items()})
        self.last = nn.ParameterDict({key: torch.randn(settings.head_width) * 0.1 for key in self.keys})
        self.wide = nn.ParameterDict({key: torch.zeros(features + 1) for key in self.keys})

    def forward(self, mixed: Tensor, features: Tensor) -> Tensor:
        """Mixed [B, T, output, C], normalised features and a constant 1 [B, F + 1, C] → raw readings [B, T, C]."""
        weight, bias, last, wide = self.stacked()
        hidden = (weight @ mixed + bias.unsqueeze(-1)).relu()  # [B, T, width, C]
        return (last.unsqueeze(1) @ hidden).squeeze(2) + wide @ features

    def stacked(self) -> list[Tensor]:
        """All tasks' weights [T, width, output], their biases [T, width], last weights [T, width], wide [T, F + 1]."""
        kinds = (self.hidden, self.hidden_bias, self.last, self.wide)
        return [torch.stack([kind[key] for key in self.keys]) for kind in kinds]


def chained(own: Tensor, before: Tensor) -> Tensor:
    """Logit of σ(own)·σ(before), any one shape: what follows an event is the event and then its own step.

    1 / σσ - 1 = e^-own + e^-before + e^-(own+before); so it is never above either, also in float32.
    """
    return -torch.stack([-own, -before, -own - before]).logsumexp(0)


def with_chains(raw: Tensor, chains: Mapping[int, int], axis: int = -1) -> Tensor:
    """Readings of single steps, tasks along `axis`, → of whole chains; `chains` as of FeatureSpec.chains."""
    if not chains:
        return raw
    columns = list(raw.unbind(axis))
    for place, before in chains.items():
        columns[place] = chained(columns[place], columns[before])
    return torch.stack(columns, dim=axis)


class TaskValues(nn.Module):
    """What raw readings mean: binary and next_item a logit, regression a value in its range, ordinal an expected level.

    An ordinal task's levels are the whole numbers from low to high; P(level > low + k) = σ(raw - threshold_k), with
    thresholds kept in order (CORAL, Cao et al. 2020). A regression is one such step of its whole range.
    """

    def __init__(self, tasks: Sequence[TaskSpec]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        steps = {task.name: round(task.high - task.low) for task in tasks if task.kind == "ordinal"}
        self.steps = nn.ParameterDict({task_key(name): _even_thresholds(count) for name, count in steps.items()})
        self.most = max([1, *steps.values()])
        bounded = [task.kind in ("regression", "ordinal") for task in tasks]
        self.bounded = any(bounded)
        self.register_buffer("linear", torch.tensor([float(not one) for one in bounded]), persistent=False)
        lows = [task.low if one else 0.0 for task, one in zip(tasks, bounded, strict=True)]
        self.register_buffer("low", torch.tensor(lows), persistent=False)
        self.register_buffer("height", torch.stack([self._heights(task) for task in tasks]), persistent=False)

    linear: Tensor
    low: Tensor
    height: Tensor

    def thresholds(self, task: TaskSpec) -> Tensor:
        """The ordered thresholds of an ordinal task, [levels - 1]; one at 0 for the others."""
        if task.kind != "ordinal":
            return torch.zeros(1)
        free = self.steps[task_key(task.name)]
        return torch.cat([free[:1], free[:1] + nn.functional.softplus(free[1:]).cumsum(0)])

    def cumulative(self, task: TaskSpec, raw: Tensor) -> Tensor:
        """Logits of `level > low + k`, [..., levels - 1], of raw readings [...]."""
        return raw.unsqueeze(-1) - self.thresholds(task)

    def forward(self, raw: Tensor, behind: int = 0) -> Tensor:
        """Raw readings [..., T] → logits and values [..., T] as ranker.onnx gives them; `behind`: axes after T."""
        if not self.bounded:
            return raw
        thresholds, height, linear, low = (
            one.reshape(*one.shape, *(1,) * behind) for one in (*self.stairs(), self.linear, self.low)
        )
        stairs = ((raw.unsqueeze(-1 - behind) - thresholds).sigmoid() * height).sum(-1 - behind)
        return raw * linear + (stairs + low)

    def stairs(self) -> tuple[Tensor, Tensor]:
        """Thresholds of all tasks, and how much is gained at each, both [T, most]; nothing is gained at padding."""
        return torch.stack([self._padded(self.thresholds(task)) for task in self.tasks]), self.height

    def _heights(self, task: TaskSpec) -> Tensor:
        """How much each step adds to the value, [most]."""
        if task.kind == "ordinal":
            return self._padded(torch.ones(round(task.high - task.low)))
        return self._padded(torch.tensor([task.high - task.low if task.kind == "regression" else 0.0]))

    def _padded(self, steps: Tensor) -> Tensor:
        return nn.functional.pad(steps, (0, self.most - len(steps)))


def _even_thresholds(count: int) -> Tensor:
    """Unconstrained parameters of `count` thresholds one apart around 0."""
    start = torch.tensor([-(count - 1) / 2.0])
    return torch.cat([start, torch.full((count - 1,), 1.0).expm1().log()])
