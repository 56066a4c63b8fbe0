"""The ranker as one native loop (kernels/_ranker_loop.h) in place of the operators of its graph.

As operators, half of the ranker's time is passes over results between products, and a request that comes alone spends
another tenth of a millisecond on calling seventy small ones. The graph ranker.onnx stays the definition: the loop is
taken where a C compiler built it, and only after it has said what the graph says. Its weights are ranker_loop.npy,
float32 [n]: the sizes first, then what `_ranker.h` lists, mapped into memory once for all workers.
"""

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.features.sessions import Device, Session, chosen_device, open_session

OF_USERS = (
    "user_vector", "history_vectors", "history_types", "history_values", "history_gaps", "profile", "context",
    "user_features",
)  # fmt: skip
OF_CANDIDATES = ("candidate_vectors", "candidate_features")
LOGITS = ["logits"]
LOOP = "ranker_loop.npy"
SIZES, TASKS = 20, 7  # how many sizes stand before the weights, and which of them counts the tasks
NATIVE = find_spec("model.features.kernels._ranker") is not None
PROBE = {"B": 2, "L": 3, "C": 37}  # sizes of the inputs by which it is proven: whole blocks of candidates and a part
TOLERANCE = 1e-4  # of the largest number, at least 1: both add up float32 in another order

logger = logging.getLogger("polyrank.ranker")
Feed = Mapping[str, NDArray[Any]]


class FusedRanker:
    """A Session of ranker.onnx whose logits come from the native loop."""

    def __init__(self, graph: Session, weights: NDArray[np.float32]) -> None:
        self._graph, self._weights = graph, weights[SIZES:]
        self._sizes = tuple(int(one) for one in weights[:SIZES])
        self._rank = import_module("model.features.kernels._ranker").rank

    def run(self, output_names: Sequence[str] | None, input_feed: Feed) -> list[NDArray[Any]]:
        """Logits [B, C, T] as ranker.onnx gives them; ask for nothing else."""
        if output_names is not None and list(output_names) != LOGITS:
            raise ValueError(f"outputs {list(output_names)}: ask for {LOGITS}")
        inputs = [np.ascontiguousarray(input_feed[name]) for name in (*OF_USERS, *OF_CANDIDATES)]
        (users, events), candidates = inputs[2].shape, inputs[8].shape[1]
        logits = np.empty((users, candidates, self._sizes[TASKS]), np.float32)
        self._rank(self._sizes, users, events, candidates, self._weights, *inputs, logits)
        return [logits]

    def get_inputs(self) -> Sequence[Any]:
        """Those of ranker.onnx."""
        return self._graph.get_inputs()

    def get_providers(self) -> Sequence[str]:
        """Those of ranker.onnx."""
        return self._graph.get_providers()


def open_ranker(path: Path, threads: int = 1, device: Device | str = "cpu") -> Session:
    """Session of the ranker at `path`: by the native loop where that is built and proven, on one thread of a processor.

    Raises DeviceError as `open_session` does.
    """
    graph, weights = open_session(path, threads, device), path.with_name(LOOP)
    if threads > 1 or not NATIVE or chosen_device(device) != "cpu" or not weights.is_file():
        return graph
    fused = FusedRanker(graph, np.asarray(np.load(weights, mmap_mode="r", allow_pickle=False)))
    error = departure(fused, graph)
    if error <= 1.0:
        return fused
    logger.warning(
        "%s: the native loop departs from the graph by %.3g times what it may; the graph is used", path, error
    )
    return graph


def departure(fused: Session, graph: Session) -> float:
    """How far they are apart on random inputs, in tolerances."""
    inputs = random_inputs(graph)
    (expected,), (found,) = graph.run(LOGITS, inputs), fused.run(LOGITS, inputs)
    return float(np.abs(found - expected).max() / (TOLERANCE * max(1.0, float(np.abs(expected).max()))))


def random_inputs(session: Session) -> dict[str, NDArray[Any]]:
    """Random inputs of a graph; ids are the smallest that exist everywhere: padding and the first event type."""
    generator, made = np.random.default_rng(0), dict[str, NDArray[Any]]()
    for one in session.get_inputs():
        shape = [PROBE[axis] if isinstance(axis, str) else axis for axis in one.shape]
        if "int64" in one.type:
            made[one.name] = generator.integers(0, 1 + (one.name == "history_types"), shape, dtype=np.int64)
        else:
            made[one.name] = generator.standard_normal(shape, dtype=np.float32)
    return made
