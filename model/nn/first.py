"""The ranker's first layer: the user's part is computed once a request, and crosses cost nothing a candidate."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class FirstLayer(nn.Module):
    """Banks of experts and gates, linear in [user | candidate | user × candidate | history read | features | 1].

    W·(u*i) = (W·diag(u))·i, so the cross term is folded into the candidate's matrix; what depends on the user alone
    becomes the weight of the constant 1. A candidate then costs one product for all experts and one for all gates.
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
        """user [B, U], query [B, D], each [B, C, D + read + features + 1] (candidate, read, features, 1).

        → experts' first layers before their activation [B, E, C, width] and gates' logits [B, C, G], in the order of
        the names given.
        """
        each = each.unsqueeze(1)
        experts = each @ self._folded(torch.cat([self.banks[name] for name in self.bank_names]), user, query)
        if not self.gate_names:
            return experts, each[:, 0, :, :0]
        gates = each @ self._folded(torch.cat([self.gates[name] for name in self.gate_names], dim=2), user, query)
        return experts, gates.squeeze(1)

    def _folded(self, weight: Tensor, user: Tensor, query: Tensor) -> Tensor:
        """The matrices [B, E, per candidate, width] of one user out of weights [E, inputs, width]."""
        of_user, of_candidate, of_cross, of_each, bias = self._parts(weight)
        candidate = of_candidate * self.scale + of_cross * self.scale * query[:, None, :, None]
        once = user[:, None, None] @ of_user + bias
        return torch.cat([candidate, of_each.expand(user.shape[0], -1, -1, -1), once], dim=2)

    def _parts(self, weight: Tensor) -> list[Tensor]:
        ends = [sum(self.sizes[: place + 1]) for place in range(len(self.sizes))]
        return [weight[:, end - size : end] for size, end in zip(self.sizes, ends, strict=True)]


def _random(count: int, inputs: int, width: int) -> Tensor:
    """Uniform start as of a linear layer, [count, inputs, width]."""
    return (torch.rand(count, inputs, width) * 2 - 1) / math.sqrt(inputs)
