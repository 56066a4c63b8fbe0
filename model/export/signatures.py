"""Names, axes and value ranges of every graph's inputs: one table for export, parity and random bundles."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.features.ranking import candidate_feature_names, user_feature_names
from model.features.spec import FeatureSpec

Array: TypeAlias = NDArray[np.float32] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Axis:
    """One input: its axes (a letter is dynamic) and, for ids, how many there are; `high` 0 means float32."""

    axes: tuple[str | int, ...]
    high: int = 0

    def random(self, sizes: dict[str, int], generator: np.random.Generator) -> Array:
        """Random values of this input for sizes of the dynamic axes."""
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in self.axes]
        if self.high:
            return generator.integers(0, self.high, shape, dtype=np.int64)
        return generator.standard_normal(shape, dtype=np.float32)


def signatures(spec: FeatureSpec, items: int) -> dict[str, dict[str, Axis]]:
    """Graph → input → axes; the order of inputs is that of the nets' forward."""
    history = {
        "history_vectors": Axis(("B", "L", spec.dim)),
        "history_types": Axis(("B", "L"), len(spec.event_types) + 1),
        "history_values": Axis(("B", "L")),
        "history_gaps": Axis(("B", "L"), spec.gap_vocabulary),
    }
    known = 1 + min((len(column.values) for column in spec.context), default=0)
    who = {
        "profile": Axis(("B", spec.max_profile), spec.profile_vocabulary),
        "context": Axis(("B", max(len(spec.context), 1)), known),
    }
    return {"item_tower": _item(spec, items), "user_tower": history | who, "ranker": _ranker(spec, history | who)}


def _item(spec: FeatureSpec, items: int) -> dict[str, Axis]:
    return {
        "item_id": Axis(("B",), items + 1),
        "text": Axis(("B", spec.text_dim)),
        "attributes": Axis(("B", spec.max_attributes), spec.attribute_vocabulary),
        "graph": Axis(("B", spec.graph_dim)),
    }


def _ranker(spec: FeatureSpec, user: dict[str, Axis]) -> dict[str, Axis]:
    return {
        "user_vector": Axis(("B", spec.dim)),
        **user,
        "user_features": Axis(("B", len(user_feature_names(spec)))),
        "candidate_vectors": Axis(("B", "C", spec.dim)),
        "candidate_features": Axis(("B", "C", len(candidate_feature_names(spec)))),
    }


OUTPUTS = {"item_tower": "item_vector", "user_tower": "user_vector", "ranker": "logits", "text_encoder": "text"}
