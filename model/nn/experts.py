"""What ranking tasks share: shared bottom, MMoE (Ma et al. 2018) and PLE (Tang et al. 2020), behind one interface.

Every kind names the linear readings of the ranker's input it wants (`readings`), so that the ranker computes all of
them in one product whose user part is done once a request. Gates start equal; task parameters are kept by task name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from model.nn.layers import task_key
from model.nn.settings import NetSettings

Readings = Mapping[str, Tensor]


class Experts(nn.Module, ABC):
    """Interface: `readings` name → width; forward: readings [B, C, width] → one vector a task, [B, C, T, output]."""

    def __init__(self, tasks: Sequence[str], settings: NetSettings) -> None:
        super().__init__()
        self.keys = [task_key(name) for name in tasks]
        self.output = settings.expert_output
        self.readings: dict[str, int] = {}

    @abstractmethod
    def gates(self, readings: Readings) -> Tensor:
        """How much each task listens to each expert, [B, C, T, E], sums to 1 over E."""

    @abstractmethod
    def forward(self, readings: Readings) -> Tensor:
        """One vector a task, [B, C, T, output]."""


class SharedBottom(Experts):
    """One wide net whose output every task reads."""

    def __init__(self, tasks: Sequence[str], settings: NetSettings) -> None:
        super().__init__(tasks, settings)
        width = settings.n_experts * settings.expert_width
        self.readings = {"experts": width}
        self.second = nn.Linear(width, self.output)

    def gates(self, readings: Readings) -> Tensor:
        """All ones: there is one expert."""
        read = readings["experts"]
        return torch.ones_like(read[..., :1]).unsqueeze(-1).expand(*read.shape[:-1], len(self.keys), 1)

    def forward(self, readings: Readings) -> Tensor:
        """The same vector for every task, [B, C, T, output]."""
        made: Tensor = self.second(readings["experts"].relu())
        shared = made.relu().unsqueeze(-2)
        return shared.expand(*shared.shape[:-2], len(self.keys), self.output)


class MMoE(Experts):
    """Experts shared by all tasks and mixed by one gate a task."""

    def __init__(self, tasks: Sequence[str], settings: NetSettings) -> None:
        super().__init__(tasks, settings)
        self.count = settings.n_experts
        self.second = Stack(self.count, settings.expert_width, self.output)
        gates = {f"gate of {key}": self.count for key in self.keys}
        self.readings = {"experts": self.count * settings.expert_width} | gates

    def gates(self, readings: Readings) -> Tensor:
        """Softmax over experts, [B, C, T, E]."""
        return torch.stack([readings[f"gate of {key}"] for key in self.keys], dim=-2).softmax(-1)

    def forward(self, readings: Readings) -> Tensor:
        """Experts' outputs mixed for each task, [B, C, T, output]."""
        made: Tensor = self.second(_split(readings["experts"], self.count))
        return self.gates(readings) @ made.relu()


class PLE(Experts):
    """Two levels of extraction: experts of a task's own beside shared ones, so that tasks disturb each other less."""

    def __init__(self, tasks: Sequence[str], settings: NetSettings) -> None:
        super().__init__(tasks, settings)
        self.own = self.shared = max(settings.n_experts // 2, 1)
        self.groups = [*self.keys, "shared"]
        width, middle = settings.expert_width, settings.expert_width
        self.readings = {f"experts of {name}": self.own * width for name in self.groups}
        self.readings |= {f"gate of {key}": self.own + self.shared for key in self.keys}
        self.readings["gate of shared"] = len(self.keys) * self.own + self.shared
        self.second = nn.ModuleDict({name: nn.Linear(middle, self.own * self.output) for name in self.groups})
        self.second_gates = nn.ModuleDict({key: nn.Linear(middle, self.own + self.shared) for key in self.keys})

    def gates(self, readings: Readings) -> Tensor:
        """The last level's gates, [B, C, T, own + shared]."""
        return self._second_gates(self._first(readings))

    def forward(self, readings: Readings) -> Tensor:
        """One vector a task out of its own and the shared experts, [B, C, T, output]."""
        first = self._first(readings)
        made = {name: _split(self.second[name](first[name]), self.own) for name in self.groups}
        heard = [torch.cat([made[key], made["shared"]], dim=-2) for key in self.keys]
        return (self._second_gates(first).unsqueeze(-2) @ torch.stack(heard, dim=-3)).squeeze(-2)

    def _second_gates(self, first: Readings) -> Tensor:
        return torch.stack([self.second_gates[key](first[key]) for key in self.keys], dim=-2).softmax(-1)

    def _first(self, readings: Readings) -> dict[str, Tensor]:
        """Level one: each task's mixture, and the shared one, which hears every expert."""
        made = {name: _split(readings[f"experts of {name}"], self.own) for name in self.groups}
        heard = {key: torch.cat([made[key], made["shared"]], dim=-2) for key in self.keys}
        heard["shared"] = torch.cat([made[name] for name in self.groups], dim=-2)
        gates = {name: readings[f"gate of {name}"].softmax(-1).unsqueeze(-2) for name in self.groups}
        return {name: (gates[name] @ heard[name]).squeeze(-2) for name in self.groups}


class Stack(nn.Module):
    """`count` linear layers side by side, each on its own slice."""

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        layers = [nn.Linear(inputs, outputs) for _ in range(count)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, count, inputs] → [B, C, count, outputs]."""
        return (x.transpose(1, 2) @ self.weight).transpose(1, 2) + self.bias


def make_experts(tasks: Sequence[str], settings: NetSettings) -> Experts:
    """The kind of sharing that the settings name."""
    kinds: dict[str, type[Experts]] = {"shared_bottom": SharedBottom, "mmoe": MMoE, "ple": PLE}
    return kinds[settings.experts](tasks, settings)


def _split(x: Tensor, count: int) -> Tensor:
    """Rectified readings [..., count · width] → [..., count, width]."""
    return torch.unflatten(x.relu(), -1, (count, -1))
