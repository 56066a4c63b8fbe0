"""What ranking tasks share: shared bottom, MMoE (Ma et al. 2018) and PLE (Tang et al. 2020), behind one interface.

Every kind names the banks of experts and the gates it wants of the ranker's first layer. Gates start equal; what
belongs to a task is kept by the task's name.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.nn.layers import inner_softmax, task_key
from model.nn.settings import NetSettings

FEW = 16  # pairs of a task and an expert
UNHEARD = -1e9  # a gate's logit for an expert that its task may not hear


class Experts(nn.Module, ABC):
    """Interface: `banks` name → experts and `gate_sizes` name → logits are what it wants; `forward` mixes them.

    First layers come as [B, E, width, C] before their activation, gates as [B, sum of sizes, C].
    """

    def __init__(self, tasks: Sequence[str], settings: NetSettings) -> None:
        super().__init__()
        self.keys = [task_key(name) for name in tasks]
        self.output = settings.expert_output
        self.banks: dict[str, int] = {}
        self.gate_sizes: dict[str, int] = {}

    @abstractmethod
    def listening(self, first: Tensor, gates: Tensor) -> Tensor:
        """How much each task listens to each expert, [B, T, E, C], sums to 1 over E."""

    @abstractmethod
    def forward(self, first: Tensor, gates: Tensor) -> Tensor:
        """One vector a task, [B, T, output, C]."""


class SharedBottom(Experts):
    """One wide net whose output every task reads."""

    def __init__(self, tasks: Sequence[str], settings: NetSettings) -> None:
        super().__init__(tasks, settings)
        self.banks = {"experts": settings.n_experts}
        self.second = Bank(settings.n_experts, settings.expert_width, self.output)

    def listening(self, first: Tensor, gates: Tensor) -> Tensor:  # noqa: ARG002  # the interface
        """All ones: there is one expert."""
        return torch.ones(first.shape[0], len(self.keys), 1, first.shape[3])

    def forward(self, first: Tensor, gates: Tensor) -> Tensor:  # noqa: ARG002  # the interface
        """The same vector for every task, [B, T, output, C]."""
        made: Tensor = self.second(first.relu())
        return made.sum(1, keepdim=True).relu().expand(-1, len(self.keys), -1, -1)


class MMoE(Experts):
    """Experts shared by all tasks and mixed by one gate a task."""

    def __init__(self, tasks: Sequence[str], settings: NetSettings) -> None:
        super().__init__(tasks, settings)
        self.banks = {"experts": settings.n_experts}
        self.gate_sizes = dict.fromkeys(self.keys, settings.n_experts)
        self.second = Bank(settings.n_experts, settings.expert_width, self.output)

    def listening(self, first: Tensor, gates: Tensor) -> Tensor:  # noqa: ARG002  # the interface
        """Softmax over experts, [B, T, E, C]."""
        return inner_softmax(torch.unflatten(gates, 1, (len(self.keys), -1)))

    def forward(self, first: Tensor, gates: Tensor) -> Tensor:
        """Experts' outputs mixed for each task, [B, T, output, C]."""
        made: Tensor = self.second(first.relu())  # [B, E, output, C]
        return mixed(self.listening(first, gates), made.relu())


class PLE(Experts):
    """Two levels of extraction: experts of a task's own beside shared ones, so that tasks disturb each other less.

    On the way between the levels a shared mixture hears every expert; a task hears its own and the shared ones. What
    belongs to a task is kept by name and put side by side when used, so that the graph has few large products.
    """

    def __init__(self, tasks: Sequence[str], settings: NetSettings) -> None:
        super().__init__(tasks, settings)
        self.own = max(settings.n_experts // 2, 1)
        self.groups = [*self.keys, "shared"]
        self.banks = dict.fromkeys(self.groups, self.own)
        self.gate_sizes = dict.fromkeys(self.keys, 2 * self.own)
        self.gate_sizes |= {f"shared hears {name}": self.own for name in self.groups}
        width = settings.expert_width
        self.second = Named(self.groups, width, self.own * self.output)
        self.second_gates = Named(self.keys, width, 2 * self.own)
        place, unheard = _placement(len(self.keys), self.own)
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("unheard", unheard, persistent=False)

    place: Tensor
    unheard: Tensor

    def listening(self, first: Tensor, gates: Tensor) -> Tensor:
        """The last level's gates, [B, T, E, C]; 0 for the experts of other tasks."""
        return self._last_gates(self._heard(first, gates))

    def forward(self, first: Tensor, gates: Tensor) -> Tensor:
        """One vector a task out of its own and the shared experts, [B, T, output, C]."""
        heard = self._heard(first, gates)
        made: Tensor = self.second(heard)  # [B, T+1, own · output, C]
        experts = torch.unflatten(made.relu(), 2, (self.own, self.output)).flatten(1, 2)
        return mixed(self._last_gates(heard), experts)

    def _heard(self, first: Tensor, gates: Tensor) -> Tensor:
        """Level one: each task's mixture and, last, the shared one, [B, T+1, width, C]."""
        weights = torch.unflatten(self.place.T @ gates, 1, (len(self.groups), -1)) + self.unheard.unsqueeze(-1)
        return mixed(inner_softmax(weights), first.relu())

    def _last_gates(self, heard: Tensor) -> Tensor:
        tasks = len(self.keys)
        logits = self.second_gates(heard[:, :tasks]).flatten(1, 2)
        place = self.place[: logits.shape[1], : tasks * len(self.unheard[0])]
        return inner_softmax(torch.unflatten(place.T @ logits, 1, (tasks, -1)) + self.unheard[:tasks].unsqueeze(-1))


def mixed(weights: Tensor, experts: Tensor) -> Tensor:
    """Σ_e weights[t, e] · experts[e]: [B, T, E, C] and [B, E, output, C] → [B, T, output, C].

    Few are mixed along all candidates at once, since a product is one tiny matrix for each candidate; for many the
    numbers between would be too many.
    """
    if weights.shape[1] * weights.shape[2] <= FEW:
        return (weights.unsqueeze(3) * experts.unsqueeze(1)).sum(2)
    return (weights.permute(0, 3, 1, 2) @ experts.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _placement(tasks: int, own: int) -> tuple[Tensor, Tensor]:
    """Where gates' logits go: a 0/1 matrix [logits, (T+1) · E], and UNHEARD [T+1, E] where a listener has none."""
    experts = torch.arange((tasks + 1) * own).reshape(tasks + 1, own)
    heard = [torch.cat([experts[task], experts[tasks]]) for task in range(tasks)] + [experts.flatten()]
    columns = torch.cat([listener * experts.numel() + one for listener, one in enumerate(heard)])
    place = nn.functional.one_hot(columns, len(heard) * experts.numel()).float()
    return place, torch.unflatten((1.0 - place.sum(0)) * UNHEARD, 0, (len(heard), experts.numel()))


class Named(nn.Module):
    """Linear layers side by side, each on its own slice, kept by name."""

    def __init__(self, names: Sequence[str], inputs: int, outputs: int) -> None:
        super().__init__()
        layers = {name: nn.Linear(inputs, outputs) for name in names}
        self.names = list(names)
        self.weights = nn.ParameterDict({name: layer.weight.detach().T for name, layer in layers.items()})
        self.biases = nn.ParameterDict({name: layer.bias.detach() for name, layer in layers.items()})

    def forward(self, x: Tensor) -> Tensor:
        """x [B, names, inputs, C] → [B, names, outputs, C]."""
        weight = torch.stack([self.weights[name].T for name in self.names])
        return weight @ x + torch.stack([self.biases[name] for name in self.names]).unsqueeze(2)


class Bank(nn.Module):
    """`count` linear layers side by side, each on its own slice."""

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        layers = [nn.Linear(inputs, outputs) for _ in range(count)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]).unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, count, inputs, C] → [B, count, outputs, C]."""
        return self.weight.transpose(1, 2) @ x + self.bias.transpose(1, 2)


def make_experts(tasks: Sequence[str], settings: NetSettings) -> Experts:
    """The kind of sharing that the settings name."""
    kinds: dict[str, type[Experts]] = {"shared_bottom": SharedBottom, "mmoe": MMoE, "ple": PLE}
    return kinds[settings.experts](tasks, settings)
