"""The ranker: user state, target attention over the history, candidate and crosses → experts → one reading a task."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.features.ranking import candidate_feature_names, user_feature_names
from model.features.spec import FeatureSpec
from model.nn.experts import make_experts
from model.nn.first import FirstLayer
from model.nn.heads import Heads, TaskValues, with_chains
from model.nn.layers import OWN, EventEmbedding, MomentEmbedding, Normaliser, PiecewiseLinear, inner_softmax
from model.nn.settings import NetSettings

Events = tuple[Tensor, Tensor, Tensor, Tensor]  # vectors, types, values, gaps


class Shared(NamedTuple):
    """Parameters that more than one task reads: all of them, and those of the last layer before the tasks part."""

    everything: list[nn.Parameter]
    last: list[nn.Parameter]


class TargetAttention(nn.Module):
    """What of the history matters to a candidate (after DIN, Zhou et al. 2018), with one bilinear form a head.

    All work on the history is done once a request; a candidate costs two small products. A learned key that is always
    there lets a candidate read nothing, and keeps an empty history defined.
    """

    def __init__(self, spec: FeatureSpec, settings: NetSettings) -> None:
        super().__init__()
        self.heads, self.reach = settings.target_heads, spec.rank_history
        self.events = EventEmbedding(spec)
        self.norm = nn.LayerNorm(spec.dim)
        self.key = nn.Linear(spec.dim, self.heads * spec.dim)
        self.value = nn.Linear(spec.dim, self.heads * settings.target_width)
        self.distance = nn.Embedding(self.reach, self.heads)
        self.nothing = nn.Parameter(torch.zeros(1, spec.dim))
        nn.init.zeros_(self.distance.weight)

    def forward(self, candidates: Tensor, vectors: Tensor, types: Tensor, values: Tensor, gaps: Tensor) -> Tensor:
        """Candidates [B, D, C] over a history [B, L, …] → what each head reads, [B, H, target_width, C]."""
        keys, bias, told = self.once(vectors, types, values, gaps)
        scores = torch.unflatten(keys @ candidates, 1, (self.heads, -1)) + bias.unsqueeze(-1)
        return told @ inner_softmax(scores)

    def once(self, vectors: Tensor, types: Tensor, values: Tensor, gaps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What of a history [B, L, …] does not depend on candidates.

        → keys [B, H · (L+1), D] (one product for all heads), their bias [B, H, L+1] and what each event and, last, the
        key that is always there tell a head, [B, H, target_width, L+1].
        """
        events = self.norm(self.events(vectors, types, values, gaps))
        events = torch.cat([events, self.nothing.expand(events.shape[0], 1, -1)], dim=1)
        told = self._by_head(self.value(events)).transpose(2, 3)
        return self._by_head(self.key(events)).flatten(1, 2), self._bias(types), told

    def _by_head(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(1, 2)  # [B, H, L+1, width]

    def _bias(self, types: Tensor) -> Tensor:
        """Bias [B, H, L+1]: of the distance from the newest event, -inf on padding, 0 for `nothing`."""
        ages = torch.arange(types.shape[1], device=types.device).flip(0).clamp(max=self.reach - 1)
        bias = self.distance(ages).T.masked_fill((types == 0).unsqueeze(1), -torch.inf)
        return nn.functional.pad(bias, (0, 1))


class Ranker(nn.Module):
    """Raw readings of all tasks for C candidates of each of B users; candidates do not see each other."""

    def __init__(self, spec: FeatureSpec, settings: NetSettings) -> None:
        super().__init__()
        names = [task.name for task in spec.tasks]
        user, features = len(user_feature_names(spec)), len(candidate_feature_names(spec))
        self.user_norm, self.user_ranges, self.candidate_norm = (
            Normaliser(user), PiecewiseLinear(user), Normaliser(features),
        )  # fmt: skip
        self.muted = torch.tensor([is_muted(name, settings) for name in candidate_feature_names(spec)])
        self.moment = MomentEmbedding(spec, settings.context)
        wide = settings.ranker_width
        known = 2 * spec.dim + user + self.user_ranges.width
        self.state = nn.Sequential(nn.Linear(known, wide), nn.GELU(), nn.Dropout(settings.dropout))
        self.query = nn.Linear(wide, spec.dim)
        self.attention = TargetAttention(spec, settings)
        self.experts = make_experts(names, settings)
        sizes = (spec.dim + wide, settings.target_heads * settings.target_width, features)
        banks, gates = self.experts.banks, self.experts.gate_sizes
        self.first = FirstLayer(sizes, spec.dim, settings.expert_width, banks, gates)
        self.heads = Heads(spec.tasks, features, settings)
        self.values = TaskValues(spec.tasks)
        self.chains, self.profile = spec.chains(), spec.max_profile
        self.sequence = float(settings.sequence)

    def measure(self, user: Tensor, candidate: Tensor) -> None:
        """Take the scales of user_features [n, Fu] and of candidate_features [m, F] from training examples."""
        self.user_norm.measure(user)
        self.user_ranges.measure(user)
        self.candidate_norm.measure(candidate)
        self.candidate_norm.inverse[self.muted] = 0.0

    def shared(self) -> Shared:
        """What more than one task reads: all but what is kept by a task's key.

        First layers are all shared: in PLE each task hears the others' own ones through the shared mixture.
        """
        named = {
            name: parameter
            for name, parameter in self.named_parameters()
            if name.startswith("first.banks.") or not any(part.startswith(OWN) for part in name.split("."))
        }
        return Shared(list(named.values()), [one for name, one in named.items() if name.startswith("experts.")])

    def raw(
        self,
        user_vector: Tensor,
        history_vectors: Tensor,
        history_types: Tensor,
        history_values: Tensor,
        history_gaps: Tensor,
        profile: Tensor,
        context: Tensor,
        user_features: Tensor,
        candidate_vectors: Tensor,
        candidate_features: Tensor,
    ) -> Tensor:
        """Raw readings [B, C, T], what losses work on; inputs as of ranker.onnx, padding of the history on the left."""
        events = (history_vectors, history_types, history_values, history_gaps)
        user, query = self.user(user_vector, profile, context, user_features)
        features = self._normalised(candidate_features)
        first, gates = self.first(user, query, self._each(candidate_vectors, events, features))
        return with_chains(self.heads(self.experts(first, gates), features), self.chains, 1).transpose(1, 2)

    def forward(
        self,
        user_vector: Tensor,
        history_vectors: Tensor,
        history_types: Tensor,
        history_values: Tensor,
        history_gaps: Tensor,
        profile: Tensor,
        context: Tensor,
        user_features: Tensor,
        candidate_vectors: Tensor,
        candidate_features: Tensor,
    ) -> Tensor:
        """Logits and values [B, C, T] as ranker.onnx gives them: `raw`, read by kind of task."""
        events = (history_vectors, history_types, history_values, history_gaps)
        rest = (profile, context, user_features, candidate_vectors, candidate_features)
        values: Tensor = self.values(self.raw(user_vector, *events, *rest).transpose(1, 2), 1)
        return values.transpose(1, 2)

    def user(self, vector: Tensor, profile: Tensor, context: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """What is computed once a request: the user's part [B, U] and the vector [B, D] that crosses candidates."""
        told = (self.user_norm(features), self.user_ranges(features))
        state = self.state(torch.cat([vector, self.moment(profile, context), *told], dim=-1))
        return torch.cat([vector, state], dim=-1), vector + self.query(state)

    def _normalised(self, features: Tensor) -> Tensor:
        """Candidates' features and the constant 1, [B, F + 1, C] of [B, C, F]: from here on candidates stand last."""
        return nn.functional.pad(self.candidate_norm(features.transpose(1, 2), 1), (0, 0, 0, 1), value=1.0)

    def _each(self, candidates: Tensor, events: Events, features: Tensor) -> Tensor:
        """What is read of every candidate, [B, …, C]: vector [B, C, D], history in its light, features, constant 1."""
        candidates = candidates.transpose(1, 2)
        read = self.attention(candidates, *events) * self.sequence
        return torch.cat([candidates, read.flatten(1, 2), features], dim=1)


def is_muted(feature: str, settings: NetSettings) -> bool:
    """Whether a candidate feature belongs to a part that is switched off; it then reads as 0."""
    kind, _, name = feature.partition(":")
    of_counters = kind in ("share", "rate", "item")
    of_attributes = kind == "cross" and name in ("attributes", "liking")
    of_context = kind == "context" and not settings.context
    return of_context or (of_counters and not settings.counters) or (of_attributes and not settings.attributes)
