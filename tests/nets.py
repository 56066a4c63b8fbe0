"""Small networks and random inputs for tests of them."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from model.export.signatures import signatures
from model.features.spec import FeatureSpec, TaskSpec
from model.nn.model import MultiTaskModel
from model.nn.settings import NetSettings
from tests.graphs import small_spec

ITEMS = 30
TASKS = (
    TaskSpec(name="interest", kind="binary"),
    TaskSpec(name="stars.5", kind="ordinal", low=1, high=5),
    TaskSpec(name="rating", kind="regression", low=1, high=5),
    TaskSpec(name="next", kind="next_item"),
)


def spec_of(tasks: tuple[TaskSpec, ...] = TASKS) -> FeatureSpec:
    """The random bundles' spec with other tasks."""
    return small_spec().model_copy(update={"tasks": tasks})


def small_model(settings: NetSettings | None = None, spec: FeatureSpec | None = None, seed: int = 0) -> MultiTaskModel:
    """A model whose weights are all random, what starts at zero included; in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MultiTaskModel(spec or spec_of(), ITEMS, 12, 2, settings)
        with torch.no_grad():
            for parameter in model.parameters():
                if not parameter.any():
                    parameter.normal_(std=0.3)
            for table in (model.user_tower.moment.profile.table, model.item_tower.read_attributes.table):
                table.weight[0] = 0.0
            model.item_tower.id.weight[0] = 0.0
    return model.eval()


def inputs_of(graph: str, spec: FeatureSpec | None = None, seed: int = 0, **sizes: int) -> dict[str, Tensor]:
    """Random inputs of a graph for sizes of B, L and C; no event is padding."""
    generator = np.random.default_rng(seed)
    table = signatures(spec or spec_of(), ITEMS)[graph]
    made = {
        name: torch.from_numpy(axis.random({"B": 2, "L": 5, "C": 7} | sizes, generator)) for name, axis in table.items()
    }
    if "history_types" in made:
        made["history_types"] = made["history_types"].clamp(min=1)
    return made


def padded(inputs: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """The same inputs with `count` padded events on the left, filled with noise that must not be read."""
    made = dict(inputs)
    for name in ("history_vectors", "history_types", "history_values", "history_gaps"):
        events = inputs[name]
        noise = torch.ones_like(events[:, :1]).expand(-1, count, *events.shape[2:])
        made[name] = torch.cat([noise * (0 if name == "history_types" else 1), events], dim=1)
    return made


def history(inputs: Mapping[str, Tensor], *places: slice) -> dict[str, Tensor]:
    """The same inputs with some places of the history alone."""
    return {name: part[:, places[0]] if name.startswith("history") else part for name, part in inputs.items()}
