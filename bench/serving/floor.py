"""How near the ranker comes to what this core can do: its own multiplications over the time of a plain product.

The floor is the time that the ranker's floating-point operations (two for each multiply-add of its matrix products)
would take at the speed of one single-threaded float32 product of the size that fits it best.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from model.export.signatures import signatures
from model.features.fused import open_ranker
from model.features.spec import FeatureSpec

SHAPES = ((300, 128, 256), (300, 256, 256), (512, 256, 512))  # rows, inner, columns


def ranker_flops(path: Path, sizes: dict[str, int]) -> int:
    """Operations of all matrix products of a graph, for sizes of its dynamic axes (B, C, L)."""
    model = onnx.load(path)
    for one in model.graph.input:
        for axis in one.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_value = sizes[axis.dim_param]
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {one.name: [axis.dim_value for axis in one.type.tensor_type.shape.dim] for one in graph.value_info}
    shapes |= {one.name: [axis.dim_value for axis in one.type.tensor_type.shape.dim] for one in graph.input}
    shapes |= {one.name: [axis.dim_value for axis in one.type.tensor_type.shape.dim] for one in graph.output}
    shapes |= {one.name: list(numpy_helper.to_array(one).shape) for one in graph.initializer}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    return sum(2 * int(np.prod(shapes[node.output[0]])) * shapes[node.input[0]][-1] for node in products)


@dataclass(frozen=True)
class Floor:
    """Of one run of the ranker: its operations, microseconds, and operations a microsecond of a plain product."""

    flops: int
    us: float
    speed: float

    @property
    def share(self) -> float:
        """How much of the time the plain product would need."""
        return self.flops / self.speed / self.us


def measured(path: Path, spec: FeatureSpec, sizes: dict[str, int], rounds: int = 7) -> Floor:
    """The median of some rounds, in each of which both are measured in turn: a machine's speed moves within seconds."""
    generator, session = np.random.default_rng(0), open_ranker(path)
    inputs = {name: axis.random(sizes, generator) for name, axis in signatures(spec, 1)["ranker"].items()}
    inputs["history_types"] = np.maximum(inputs["history_types"], 1)
    flops = ranker_flops(path, sizes)
    found = [
        Floor(flops, _best_us(lambda: session.run(["logits"], inputs), 100), gemm_flops_per_us()) for _ in range(rounds)
    ]
    return sorted(found, key=lambda one: one.share)[rounds // 2]


def gemm_flops_per_us() -> float:
    """The fastest of a few single-threaded products (OPENBLAS_NUM_THREADS=1), operations a microsecond."""
    return max(_speed(*shape) for shape in SHAPES)


def _speed(rows: int, inner: int, columns: int) -> float:
    generator, out = np.random.default_rng(0), np.empty((rows, columns), np.float32)
    left, right = generator.random((rows, inner), np.float32), generator.random((inner, columns), np.float32)
    return 2 * rows * inner * columns / _best_us(lambda: np.matmul(left, right, out=out), 100)


def _best_us(function: Callable[[], object], count: int) -> float:
    """The tenth percentile: what the core can do when nobody else is on it."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return float(np.percentile(times, 10)) * 1e6
