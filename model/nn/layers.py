"""Small layers that towers and ranker share: bags of ids, events, the moment, normalised features."""

import torch
from torch import Tensor, nn

from model.features.spec import FeatureSpec

OWN = "task "  # names of parameters that belong to one task start with it
FEATURE_CLIP = 8.0  # standard deviations; keeps one broken counter from ruling a list


class IdBag(nn.Module):
    """Mean of the embeddings of the ids that are not padding; zero when all are."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width, padding_idx=0)
        nn.init.normal_(self.table.weight, std=width**-0.5)
        _zero_row(self.table.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids int64 [..., A] → [..., width]."""
        count = (ids > 0).sum(-1, keepdim=True).clamp(min=1)
        mean: Tensor = self.table(ids).sum(-2) / count  # the padding's row is zero and stays so
        return mean


class EventEmbedding(nn.Module):
    """What happened: item vector + event type + the event's value (weighed by type) + the time until the next event."""

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        types = len(spec.event_types) + 1
        self.kind = nn.Embedding(types, spec.dim)
        self.value = nn.Embedding(types, spec.dim)
        self.gap = nn.Embedding(spec.gap_vocabulary, spec.dim)
        for table in (self.kind, self.value, self.gap):
            nn.init.normal_(table.weight, std=0.1 * spec.dim**-0.5)  # beside vectors whose norm is about 1

    def forward(self, vectors: Tensor, types: Tensor, values: Tensor, gaps: Tensor) -> Tensor:
        """Vectors [B, L, D], types int64 [B, L], values [B, L] in [0, 1], gaps int64 [B, L] → [B, L, D]."""
        liking = (values - 0.5).unsqueeze(-1) * self.value(types)
        told: Tensor = vectors + self.kind(types) + self.gap(gaps) + liking
        return told


class MomentEmbedding(nn.Module):
    """Who asks and when: mean of the profile's embeddings + one embedding a context column."""

    def __init__(self, spec: FeatureSpec, use_context: bool = True) -> None:
        super().__init__()
        sizes = [len(column.values) + 1 for column in spec.context] or [1]
        offsets = [sum(sizes[:index]) for index in range(len(sizes))]
        self.profile = IdBag(spec.profile_vocabulary, spec.dim)
        self.context = nn.Embedding(sum(sizes), spec.dim)
        self.register_buffer("offsets", torch.tensor(offsets), persistent=False)
        self.use_context = float(use_context)

    offsets: Tensor

    def forward(self, profile: Tensor, context: Tensor) -> Tensor:
        """Profile int64 [B, P], context int64 [B, ..., X] → [B, ..., D]."""
        asked: Tensor = self.context(context + self.offsets).sum(-2) * self.use_context
        bag: Tensor = self.profile(profile)
        return asked + (bag.unsqueeze(1) if asked.dim() == 3 else bag)


class Normaliser(nn.Module):
    """Standardises features by constants that the trainer sets, and clips what is far out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("inverse", torch.ones(width))

    mean: Tensor
    inverse: Tensor

    def measure(self, features: Tensor) -> None:
        """Take mean and deviation of rows [n, width]; a constant column then reads as 0 wherever it keeps its value."""
        self.mean.copy_(features.mean(0))
        self.inverse.copy_(1.0 / _spread(features))

    def forward(self, features: Tensor, behind: int = 0) -> Tensor:
        """Features [..., width] → the same shape, about variance 1; `behind`: axes that stand after the width."""
        mean, inverse = (one.reshape(-1, *(1,) * behind) for one in (self.mean, self.inverse))
        return ((features - mean) * inverse).clamp(-FEATURE_CLIP, FEATURE_CLIP)


class PiecewiseLinear(nn.Module):
    """Each feature as how far it has come through each of BINS ranges that hold equally many of the rows measured.

    What depends on a feature beyond a line (the time since something, say) is linear in these (Gorishniy et al. 2022,
    On Embeddings for Numerical Features).
    """

    BINS = 8
    NARROWEST = 0.01  # of a deviation: a range that holds one value alone is a step, but no cliff
    ROWS = 20_000  # that quantiles are taken of, spread over all

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width * self.BINS
        self.register_buffer("start", torch.zeros(width, self.BINS))
        self.register_buffer("inverse", torch.ones(width, self.BINS))

    start: Tensor
    inverse: Tensor

    def measure(self, features: Tensor) -> None:
        """Take the ranges from rows [n, width]; there must be one."""
        some = features[:: len(features) // self.ROWS + 1]
        edges = torch.quantile(some, torch.linspace(0, 1, self.BINS + 1), dim=0).T
        self.start.copy_(edges[:, :-1])
        narrowest = (self.NARROWEST * _spread(features)).unsqueeze(1)
        self.inverse.copy_(1.0 / (edges[:, 1:] - edges[:, :-1]).maximum(narrowest))

    def forward(self, features: Tensor) -> Tensor:
        """Features [..., width] → [..., width · BINS], each from -1 (before its range) to 1 (beyond it)."""
        told = ((features.unsqueeze(-1) - self.start) * self.inverse).clamp(0, 1) * 2 - 1
        return told.flatten(-2)


def _spread(features: Tensor) -> Tensor:
    """Standard deviation of each column of rows [n, width], 1 where it is constant; [width]."""
    std = features.std(0, correction=0)
    return torch.where(std > 1e-6, std, torch.ones_like(std))


def inner_softmax(x: Tensor) -> Tensor:
    """Softmax over the last axis but one, as what it is made of: as one operator it is transposed there and back."""
    powers = (x - x.amax(-2, keepdim=True)).exp()
    made: Tensor = powers / powers.sum(-2, keepdim=True)
    return made


def narrow_net(inputs: int, dim: int) -> nn.Sequential:
    """A two-layer net inputs → 2·dim → dim whose output starts near zero: a correction to what stands beside it."""
    last = nn.Linear(2 * dim, dim, bias=False)
    nn.init.normal_(last.weight, std=0.01)
    return nn.Sequential(nn.Linear(inputs, 2 * dim), nn.GELU(), last)


def task_key(name: str) -> str:
    """A task's name as a parameter name: dots are what torch separates by."""
    return OWN + name.replace("%", "%25").replace(".", "%2e")


def _zero_row(weight: Tensor) -> None:
    with torch.no_grad():
        weight[0] = 0.0
