"""The two towers of recall: item → vector, and history, profile and context → vector of the same space."""

import math

import torch
from torch import Tensor, nn

from model.features.spec import FeatureSpec
from model.nn.layers import EventEmbedding, IdBag, MomentEmbedding, narrow_net
from model.nn.settings import NetSettings

QUIET = 0.02  # what the transformer says at first, as the weight of a norm


class ItemTower(nn.Module):
    """Item vector = id + what its content says: text, attributes and graph, each by itself and all together.

    Every part may be absent (id 0, zero vectors, padding). Attributes and graph leave little for text to say, so an
    item known by its text alone is read by coefficients of its own; one of which nothing is known is the `prior_alone`.
    Id dropout is the trainer's: it passes item_id 0.
    """

    def __init__(self, spec: FeatureSpec, items: int, settings: NetSettings) -> None:
        super().__init__()
        dim = spec.dim
        self.id = nn.Embedding(items + 1, dim, padding_idx=0)
        self.prior = nn.Parameter(torch.zeros(dim))
        self.read_text = nn.Linear(spec.text_dim, dim, bias=False)
        self.read_attributes = IdBag(spec.attribute_vocabulary, dim)
        self.read_graph = nn.Linear(spec.graph_dim, dim, bias=False)
        self.cross = ContentCross(spec, settings.item_width)
        self.read_cross = nn.Linear(settings.item_width, dim, bias=False)
        self.prior_alone = nn.Parameter(torch.zeros(dim))
        self.read_text_alone = nn.Linear(spec.text_dim, dim, bias=False)
        self.read_cross_alone = nn.Linear(settings.item_width, dim, bias=False)
        self.switches = tuple(float(on) for on in (settings.text, settings.attributes, settings.graph))
        nn.init.normal_(self.id.weight, std=dim**-0.5)
        for correction in (self.read_cross, self.read_cross_alone):
            nn.init.normal_(correction.weight, std=0.01)  # to what stands beside it
        self.start_ids(torch.empty(0, dim))

    def solved(self) -> list[nn.Parameter]:
        """Parameters that say what content means; they are solved for in closed form."""
        return [one for name, one in self.named_parameters() if not name.startswith("id.")]

    def start_ids(self, vectors: Tensor) -> None:
        """Start the id embeddings of rows 0…n-1 from `vectors` [n, D] (of a factorisation, say); id 0 stays zero."""
        with torch.no_grad():
            self.id.weight[1 : len(vectors) + 1] = vectors
            self.id.weight[0] = 0.0

    def forward(self, item_id: Tensor, text: Tensor, attributes: Tensor, graph: Tensor) -> Tensor:
        """item_id int64 [...], text [..., text_dim], attributes int64 [..., A], graph [..., graph_dim] → [..., D]."""
        known: Tensor = self.id(item_id)
        return known + self.content(text, attributes, graph)

    def content(self, text: Tensor, attributes: Tensor, graph: Tensor) -> Tensor:
        """The vector's part that needs no interactions; shapes as in `forward`."""
        by_text, by_attributes, by_graph = self.switches
        crossed = self.crossed(text, attributes, graph)
        read = self.read_text(text) * by_text + self.read_attributes(attributes) * by_attributes
        read = read + self.read_graph(graph) * by_graph + self.prior + self.read_cross(crossed)
        alone = self.read_text_alone(text) * by_text + self.prior_alone + self.read_cross_alone(crossed)
        return torch.where(self.described(attributes, graph).unsqueeze(-1), read, alone)

    def described(self, attributes: Tensor, graph: Tensor) -> Tensor:
        """Which items are known by more than their text, bool [...]; shapes as in `forward`."""
        _, by_attributes, by_graph = self.switches
        return (attributes * int(by_attributes) > 0).any(-1) | (graph * by_graph != 0).any(-1)

    def crossed(self, text: Tensor, attributes: Tensor, graph: Tensor) -> Tensor:
        """What the parts say together, [..., item_width]; shapes as in `forward`."""
        by_text, by_attributes, by_graph = self.switches
        found: Tensor = self.cross(text * by_text, attributes * int(by_attributes), graph * by_graph)
        return found


class ContentCross(nn.Module):
    """A hidden layer over all content of an item.

    Attributes begin loud, since their combinations (a genre of a decade) are what a sum over parts cannot say; text and
    graph begin quiet, and learn.
    """

    LOUD, QUIET = 3.0, 0.3

    def __init__(self, spec: FeatureSpec, width: int) -> None:
        super().__init__()
        self.width = width
        self.text = nn.Linear(spec.text_dim, width)
        self.attributes = IdBag(spec.attribute_vocabulary, width)
        self.graph = nn.Linear(spec.graph_dim, width, bias=False)
        nn.init.normal_(self.text.weight, std=self.QUIET)
        nn.init.normal_(self.text.bias, std=0.5)
        nn.init.normal_(self.graph.weight, std=self.QUIET)
        nn.init.normal_(self.attributes.table.weight[1:], std=self.LOUD)

    def forward(self, text: Tensor, attributes: Tensor, graph: Tensor) -> Tensor:
        """text [..., text_dim], attributes int64 [..., A], graph [..., graph_dim] → [..., width]."""
        return nn.functional.gelu(self.text(text) + self.attributes(attributes) + self.graph(graph))


class UserTower(nn.Module):
    """A causal transformer over the history (after SASRec, Kang & McAuley 2018), then profile and context.

    Position is the distance between two events, a learned bias of each attention head (as in T5 and HSTU), not an
    absolute index: the prediction after event i is then the same inside a long window as at the end of a short one, so
    what training sees at every position is what serving computes at the last. Padding stands on the left. A learned
    begin token stands before everything; padding reads as that token too, so an empty history has a prediction.
    """

    def __init__(self, spec: FeatureSpec, settings: NetSettings) -> None:
        super().__init__()
        dim = spec.dim
        self.events = EventEmbedding(spec)
        self.begin = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.scale = dim**0.5  # item vectors have norm about 1; the layers work with variance 1
        self.drop = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(dim, spec.history_length, settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(dim)
        nn.init.constant_(self.norm.weight, QUIET)  # at first a correction to the means
        self.means = FadingMeans()
        self.moment = MomentEmbedding(spec, settings.context)
        self.fuse = narrow_net(2 * dim, dim)
        self.sequence = settings.sequence

    def forward(
        self,
        history_vectors: Tensor,
        history_types: Tensor,
        history_values: Tensor,
        history_gaps: Tensor,
        profile: Tensor,
        context: Tensor,
    ) -> Tensor:
        """The user's vector now: the last of `forward_all`, computed without the others; [B, D]."""
        events = (history_vectors, history_types, history_values, history_gaps)
        return self._predict(*events, profile, context, newest_only=True)[:, 0]

    def forward_all(
        self,
        history_vectors: Tensor,
        history_types: Tensor,
        history_values: Tensor,
        history_gaps: Tensor,
        profile: Tensor,
        context: Tensor,
    ) -> Tensor:
        """User vectors before the first event and after each one, [B, L+1, D]; place i has seen events < i.

        vectors [B, L, D], types int64 [B, L] (0: padding, left), values [B, L], gaps int64 [B, L], profile int64
        [B, P], context int64 [B, X] or, one moment a place, [B, L+1, X]. Over padding the vector is that of an empty
        history.
        """
        events = (history_vectors, history_types, history_values, history_gaps)
        return self._predict(*events, profile, context, newest_only=False)

    def forward_around(
        self,
        history_vectors: Tensor,
        history_types: Tensor,
        history_values: Tensor,
        history_gaps: Tensor,
        profile: Tensor,
        context: Tensor,
    ) -> Tensor:
        """Vectors [B, L, D] whose place i has read the events on both sides of event i, and i too unless its type is 0.

        Shapes as in `forward_all`; for filling in what was hidden, never for prediction.
        """
        events = (history_vectors, history_types, history_values, history_gaps)
        return self._predict(*events, profile, context, newest_only=False, causal=False)[:, :-1]

    def _predict(
        self,
        vectors: Tensor,
        types: Tensor,
        values: Tensor,
        gaps: Tensor,
        profile: Tensor,
        context: Tensor,
        newest_only: bool,
        causal: bool = True,
    ) -> Tensor:
        real = (types > 0) if self.sequence else torch.zeros_like(types, dtype=torch.bool)
        events = torch.where(real.unsqueeze(-1), self.events(vectors, types, values, gaps), self.begin)
        x = self.drop(torch.cat([self.begin.expand(events.shape[0], 1, -1), events], dim=1) * self.scale)
        hidden = ~visible(real, causal)
        for block in self.blocks[:-1]:
            x = block(x, hidden, newest_only=False)
        state = self.norm(self.blocks[-1](x, hidden, newest_only=newest_only))
        return self._fused(state + self.means(events, real, newest_only, causal), profile, context)

    def _fused(self, state: Tensor, profile: Tensor, context: Tensor) -> Tensor:
        moment = self.moment(profile, context if context.dim() == 3 else context.unsqueeze(1))
        fused: Tensor = state + self.fuse(torch.cat([state, moment.expand_as(state)], dim=-1))
        return fused


class FadingMeans(nn.Module):
    """Means of a history's events whose weights fade with distance, each at a rate and a loudness of its own.

    Where item vectors start from a factorisation this alone is a fair recommender, so the transformer beside it begins
    as a correction to it.
    """

    RATES = (0.6, 0.8, 0.95)  # weight of an event, relative to the next newer one

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(self.RATES).logit())
        self.loud = nn.Parameter(torch.zeros(len(self.RATES)))
        self.sound(1.0)

    def sound(self, loud: float) -> None:
        """Make all means together so loud."""
        nn.init.constant_(self.loud, math.log(loud / len(self.RATES)))

    def forward(self, events: Tensor, real: Tensor, newest_only: bool, causal: bool = True) -> Tensor:
        """Events [B, L, D], real bool [B, L] → [B, L+1, D], place i of events < i (of all, unless `causal`); or the
        newest place alone, [B, 1, D]. Zero where there is no event."""
        old = torch.arange(real.shape[1], device=real.device)
        places = torch.arange(real.shape[1] + 1, device=real.device)[-1 if newest_only else 0 :]
        ages = places[:, None] - old - 1 if causal else (places[:, None] - old).abs()
        read = (real.unsqueeze(1) & (ages >= 0)).unsqueeze(1)
        fading = nn.functional.logsigmoid(self.rate).reshape(-1, 1, 1) * ages.clamp(min=0)
        weights = fading.exp() * read  # [B, K, n, L]
        shares = weights / weights.sum(-1, keepdim=True).clamp(min=1e-6) * self.loud.exp().reshape(-1, 1, 1)
        made: Tensor = shares.sum(1) @ events
        return made


class Block(nn.Module):
    """One pre-norm transformer layer whose attention is biased by the distance between events."""

    def __init__(self, dim: int, reach: int, settings: NetSettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.reach = reach
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.distance = nn.Embedding(reach + 1, settings.heads)  # last row: the begin token
        self.feed_norm = nn.LayerNorm(dim)
        wide = settings.widening * dim
        self.feed = nn.Sequential(nn.Linear(dim, wide), nn.GELU(), nn.Dropout(settings.dropout), nn.Linear(wide, dim))
        self.drop = nn.Dropout(settings.dropout)
        nn.init.zeros_(self.distance.weight)

    def forward(self, x: Tensor, hidden: Tensor, newest_only: bool) -> Tensor:
        """x [B, n, D], hidden bool [B, n, n] → [B, n, D], or [B, 1, D] for the newest place alone."""
        start = -1 if newest_only else 0
        y = self.norm(x)
        places = torch.arange(x.shape[1], device=x.device)
        scores = self._heads(self.query(y[:, start:])) @ self._heads(self.key(y)).transpose(-1, -2)
        scores = scores * (self.heads / x.shape[-1]) ** 0.5 + self._bias(places[start:], places)
        weights = scores.masked_fill(hidden[:, None, start:], -torch.inf).softmax(-1)
        read = (self.drop(weights) @ self._heads(self.value(y))).transpose(1, 2).flatten(2)
        x = x[:, start:] + self.drop(self.out(read))
        fed: Tensor = x + self.drop(self.feed(self.feed_norm(x)))
        return fed

    def _heads(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(1, 2)  # [B, H, n, D/H]

    def _bias(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Bias [H, queries, keys] of each head by distance; place 0 is the begin token, as far as it may be."""
        distance = (queries[:, None] - keys).abs().clamp(max=self.reach - 1)
        bias: Tensor = self.distance(torch.where(keys == 0, self.reach, distance))
        return bias.permute(2, 0, 1)


def visible(real: Tensor, causal: bool = True) -> Tensor:
    """Which place may read which, bool [B, L+1, L+1]: the begin token, and real events (up to itself); real [B, L]."""
    places = torch.arange(real.shape[1] + 1, device=real.device)
    begin = places == 0
    known = torch.cat([torch.ones_like(real[:, :1]), real], dim=1)
    if not causal:
        return known.unsqueeze(1).expand(-1, len(places), -1)
    earlier = (places <= places[:, None]) | begin
    return earlier & known.unsqueeze(1)
