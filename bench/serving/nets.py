"""The graphs of the benchmark: the product's own networks with random weights, exported by the product's own export.

Beside the ranker as it is served stands the same ranker as anyone would write it first: everything a candidate is
judged by laid side by side for every candidate, one layer an expert, one a gate.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.config.training import Training
from model.export.loop import export_loop
from model.export.onnx import export_graph
from model.export.signatures import OUTPUTS, signatures
from model.export.text import export_text_encoder
from model.features.fused import LOOP
from model.features.spec import FeatureSpec
from model.nn.encoder import DEFAULT, TextEncoder
from model.nn.experts import Bank
from model.nn.model import MultiTaskModel
from model.nn.ranker import Ranker
from model.nn.settings import NetSettings
from model.nn.towers import ItemTower

PLAIN = "plain.onnx"
MADE = "text_encoder.json"
TEXT = ("text_encoder.onnx", "tokenizer.json")
QUIET = 0.1  # what the random user tower adds to its newest event: a trained one also points to where items are


class PlainRanker(nn.Module):
    """The same numbers as a Ranker of MMoE: nothing is computed once a request, candidates stand where they come in."""

    def __init__(self, ranker: Ranker) -> None:
        super().__init__()
        self.ranker = ranker

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
        """Logits and values [B, C, T]; inputs as of ranker.onnx."""
        ranker, first = self.ranker, self.ranker.first
        user, query = ranker.user(user_vector, profile, context, user_features)
        features = nn.functional.pad(ranker.candidate_norm(candidate_features), (0, 1), value=1.0)
        read = self._read(candidate_vectors, history_vectors, history_types, history_values, history_gaps)
        scaled = candidate_vectors * first.scale
        same = user.unsqueeze(1).expand(-1, features.shape[1], -1)
        wide = torch.cat([same, scaled, scaled * query.unsqueeze(1), read, features], dim=-1)
        values: Tensor = ranker.values(self._heads(self._mixed(wide), features))
        return values

    def _read(self, candidates: Tensor, vectors: Tensor, types: Tensor, values: Tensor, gaps: Tensor) -> Tensor:
        """What each candidate reads of the history, [B, C, heads · width]."""
        attention = self.ranker.attention
        events = attention.norm(attention.events(vectors, types, values, gaps))
        events = torch.cat([events, attention.nothing.expand(events.shape[0], 1, -1)], dim=1)
        keys = attention._by_head(attention.key(events)).transpose(2, 3)
        scores = candidates.unsqueeze(1) @ keys + attention._bias(types).unsqueeze(2)
        return torch.cat((scores.softmax(-1) @ attention._by_head(attention.value(events))).unbind(1), dim=-1)

    def _mixed(self, wide: Tensor) -> Tensor:
        """Experts one by one, mixed for each task, [B, C, T, output]."""
        first, second = self.ranker.first, self.ranker.experts.second
        assert isinstance(second, Bank)
        layers = [layer for name in first.bank_names for layer in first.banks[name]]
        made = [
            ((wide @ layer).relu() @ weight + bias).relu()
            for layer, weight, bias in zip(layers, second.weight, second.bias, strict=True)
        ]
        gates = torch.stack([(wide @ first.gates[name][0]).softmax(-1) for name in first.gate_names], dim=2)
        return gates @ torch.stack(made, dim=2)

    def _heads(self, mixed: Tensor, features: Tensor) -> Tensor:
        """One reading a task, [B, C, T]."""
        heads, read = self.ranker.heads, []
        for place, key in enumerate(heads.keys):
            hidden = (mixed[:, :, place] @ heads.hidden[key].T + heads.hidden_bias[key]).relu()
            read.append(hidden @ heads.last[key] + features @ heads.wide[key])
        return torch.stack(read, dim=-1)


def settings() -> NetSettings:
    """Sizes of a recipe that says nothing."""
    told = Training()
    shared = NetSettings.model_fields.keys() & Training.model_fields.keys()
    return NetSettings(**{name: getattr(told, name) for name in shared})


def write_graphs(spec: FeatureSpec, vectors: NDArray[np.float32], bundle: Path, aside: Path) -> None:
    """The three graphs (and, with text, the encoder) into `bundle`; the plain ranker, which is no part of one, aside.

    `vectors` float32 [items, D] are the items' own: their id embeddings. What does not depend on the catalogue is
    exported once, into `aside`.
    """
    if not (aside / MADE).exists():
        _write_shared(spec, aside)
    for name in ("user_tower.onnx", "ranker.onnx", LOOP, *(TEXT if spec.text_fields else ())):
        shutil.copy(aside / name, bundle / name)
    torch.manual_seed(1)
    tower = ItemTower(spec, len(vectors), settings())
    tower.start_ids(torch.from_numpy(vectors))
    with torch.no_grad():
        for weight in (tower.read_text.weight, tower.read_attributes.table.weight):
            weight.mul_(QUIET)
    table = signatures(spec, len(vectors))["item_tower"]
    export_graph(tower, table, OUTPUTS["item_tower"], bundle / "item_tower.onnx")


def _write_shared(spec: FeatureSpec, aside: Path) -> None:
    aside.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = made_model(spec)
    nets = {"user_tower": model.user_tower, "ranker": model.ranker, "plain": PlainRanker(model.ranker)}
    tables = signatures(spec, 1)
    for name, net in nets.items():
        like = "ranker" if name == "plain" else name
        export_graph(net, tables[like], OUTPUTS[like], aside / f"{name}.onnx")
    export_loop(model.ranker, aside)
    said: dict[str, Any] = {"name": "none", "digest": "none", "max_tokens": 8}
    if spec.text_fields:
        said = export_text_encoder(TextEncoder(DEFAULT, max_tokens=64), aside)
    (aside / MADE).write_bytes(orjson.dumps(said))


def made_model(spec: FeatureSpec) -> MultiTaskModel:
    """The networks, random but for what trained ones have: gates that differ, a tower that points to items."""
    model = MultiTaskModel(spec, 1, settings=settings())
    with torch.no_grad():
        for gate in model.ranker.first.gates.values():
            gate.normal_(std=0.1)
        for name, weight in model.user_tower.named_parameters():
            if name.endswith(("out.weight", "feed.3.weight", "context.weight")):
                weight.mul_(QUIET)
    return model


def made_text_encoder(aside: Path) -> dict[str, Any]:
    """What the manifest says of the text encoder."""
    said: dict[str, Any] = orjson.loads((aside / MADE).read_bytes())
    return said
