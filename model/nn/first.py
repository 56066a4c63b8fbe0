"""The ranker's first layer: the user's part is computed once a request, and crosses cost nothing a candidate."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class FirstLayer(nn.Module):
    """Banks of experts and gates, linear in [user | candidate | user × candidate | history read | features | 1].

    W·(u*i) = (W·diag(u))·i, so the cross term is folded into the candidate's matrix; what depends on the user alone
    becomes the weight of the constant 1. A candidate then costs one product for all experts and one for all gates.
    Candidates are the last axis, so that what follows a product (softmax over experts, mixing, biases) runs along many
    numbers that lie side by side, and a bank's slice of a product is a view.
    `banks`: name → number of experts, each `width` wide; `gates`: name → how many numbers. Both are kept by name.
    """

    def __init__(
        self, sizes: Sequence[int], dim: int, width: int, banks: Mapping[str, int], gates: Mapping[str, int]
    ) -> None:
        super().__init__()
        user, read, features = sizes
        self.sizes = [user, dim, dim, read + features, 1]
        self.scale = dim**0.5  # candidate vectors have norm about 1; the rest of the net works with variance 1
        inputs = sum(self.sizes)
        self.bank_names, self.gate_names = list(banks), list(gates)  # ParameterDict sorts, and order is meaning here
        self.banks = nn.ParameterDict({name: _random(count, inputs, width) for name, count in banks.items()})
        self.gates = nn.ParameterDict({name: torch.zeros(1, inputs, count) for name, count in gates.items()})

    def forward(self, user: Tensor, query: Tensor, each: Tensor) -> tuple[Tensor, Tensor]:
        """user [B, U], query [B, D], each [B, D + read + features + 1, C] (candidate, read, features, 1).

        → experts' first layers before their activation [B, E, width, C] and gates' logits [B, G, C], in the order of
        the names given.
        """
        experts, width = sum(map(len, self.banks.values())), self.banks[self.bank_names[0]].shape[2]
        weights = self.weights()
        sizes = [experts * width, len(weights.bias) - experts * width]
        if self.training:
            parts = torch.split(_unfolded(weights, user, query, each), sizes, 1)
        else:  # one matrix a user: the least work where a user has many candidates
            parts = tuple(one @ each for one in torch.split(_folded(weights, user, query), sizes, 1))
        of_experts, of_gates = parts
        return torch.unflatten(of_experts, 1, (experts, width)), of_gates

    def weights(self) -> "Weights":
        """The weights of all banks and, behind them, of all gates, by what they weigh."""
        rows = [self._bank(name).flatten(0, 1) for name in self.bank_names]
        rows += [self.gates[name][0].T for name in self.gate_names]
        of_user, of_candidate, of_cross, of_each, bias = torch.split(torch.cat(rows), self.sizes, 1)
        return Weights(of_user, of_candidate * self.scale, of_cross * self.scale, of_each, bias)

    def _bank(self, name: str) -> Tensor:
        bank: Tensor = self.banks[name].transpose(1, 2)  # [experts, width, inputs]
        return bank


class Weights(NamedTuple):
    """Parts of the first layer's matrix, each [outputs, what it weighs]: user, candidate, cross, read + features, 1."""

    of_user: Tensor
    of_candidate: Tensor
    of_cross: Tensor
    of_each: Tensor
    bias: Tensor

    def once(self, user: Tensor) -> Tensor:
        """What depends on the user [B, U] alone, [B, outputs]."""
        return user @ self.of_user.T + self.bias.T


def _unfolded(weights: Weights, user: Tensor, query: Tensor, each: Tensor) -> Tensor:
    """One product for all users, with crosses made a candidate: training knows many users at once."""
    crosses = each[:, : query.shape[1]] * query.unsqueeze(-1)
    inputs = torch.cat([each[:, :-1], crosses], dim=1).transpose(1, 2)  # one matrix for all: rows lie together
    of_inputs = torch.cat([weights.of_candidate, weights.of_each, weights.of_cross], dim=1)
    return (inputs @ of_inputs.T).transpose(1, 2) + weights.once(user).unsqueeze(-1)


def _folded(weights: Weights, user: Tensor, query: Tensor) -> Tensor:
    """The matrix [B, outputs, per candidate] of each user."""
    others = (0, weights.of_each.shape[1])
    same = torch.cat([weights.of_candidate, weights.of_each], dim=1)
    crossed = nn.functional.pad(weights.of_cross, others)
    candidate = same + crossed * nn.functional.pad(query, others).unsqueeze(1)
    return torch.cat([candidate, weights.once(user).unsqueeze(-1)], dim=2)


def _random(count: int, inputs: int, width: int) -> Tensor:
    """Uniform start as of a linear layer, [count, inputs, width]."""
    return (torch.rand(count, inputs, width) * 2 - 1) / math.sqrt(inputs)
