"""Per-task heads: a vector a task → a raw reading a task, and what that reading means for each kind of task."""

from collections.abc import Sequence

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
        self.bias = nn.ParameterDict({key: torch.zeros(1) for key in self.keys})
        self.wide = nn.ParameterDict({key: torch.zeros(features) for key in self.keys})

    def forward(self, mixed: Tensor, features: Tensor) -> Tensor:
        """Mixed [B, C, T, output], normalised features [B, C, F] → raw readings [B, C, T]."""
        hidden = mixed.transpose(1, 2) @ self._stacked(self.hidden).transpose(1, 2)  # [B, T, C, width]
        hidden = (hidden + self._stacked(self.hidden_bias).unsqueeze(1)).relu()
        deep = (hidden @ self._stacked(self.last).unsqueeze(-1)).squeeze(-1).transpose(1, 2)
        return deep + features @ self._stacked(self.wide).T + self._stacked(self.bias).squeeze(-1)

    def _stacked(self, parameters: nn.ParameterDict) -> Tensor:
        return torch.stack([parameters[key] for key in self.keys])


class TaskValues(nn.Module):
    """What raw readings mean: binary and next_item a logit, regression a value in its range, ordinal an expected level.

    An ordinal task's levels are the whole numbers from low to high; P(level > low + k) = σ(raw - threshold_k), with
    thresholds kept in order (CORAL, Cao et al. 2020).
    """

    def __init__(self, tasks: Sequence[TaskSpec]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        steps = {task.name: round(task.high - task.low) for task in tasks if task.kind == "ordinal"}
        self.steps = nn.ParameterDict({task_key(name): _even_thresholds(count) for name, count in steps.items()})

    def thresholds(self, task: TaskSpec) -> Tensor:
        """The ordered thresholds of an ordinal task, [levels - 1]."""
        free = self.steps[task_key(task.name)]
        return torch.cat([free[:1], free[:1] + nn.functional.softplus(free[1:]).cumsum(0)])

    def cumulative(self, task: TaskSpec, raw: Tensor) -> Tensor:
        """Logits of `level > low + k`, [..., levels - 1], of raw readings [...]."""
        return raw.unsqueeze(-1) - self.thresholds(task)

    def value(self, task: TaskSpec, raw: Tensor) -> Tensor:
        """What the service reads of one task's raw readings [...]."""
        if task.kind == "regression":
            return task.low + (task.high - task.low) * raw.sigmoid()
        if task.kind == "ordinal":
            return task.low + self.cumulative(task, raw).sigmoid().sum(-1)
        return raw

    def forward(self, raw: Tensor) -> Tensor:
        """Raw readings [..., T] → logits and values [..., T] as ranker.onnx gives them."""
        return torch.stack([self.value(task, raw[..., index]) for index, task in enumerate(self.tasks)], dim=-1)


def _even_thresholds(count: int) -> Tensor:
    """Unconstrained parameters of `count` thresholds one apart around 0."""
    start = torch.tensor([-(count - 1) / 2.0])
    return torch.cat([start, torch.full((count - 1,), 1.0).expm1().log()])
