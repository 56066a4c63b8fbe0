"""The networks as ONNX graphs with named dynamic axes."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from model.export.loop import export_loop, fusable
from model.export.signatures import OUTPUTS, Axis, signatures
from model.features.spec import FeatureSpec
from model.nn.model import MultiTaskModel

OPSET = 18
SIZES = {"B": 2, "L": 3, "C": 5, "S": 7}  # of the example; unlike each other and 1, which tracing would fix


def export_graphs(model: MultiTaskModel, spec: FeatureSpec, folder: Path) -> None:
    """Write item_tower.onnx, user_tower.onnx, ranker.onnx and, for rankers it fits, ranker_loop.npy into `folder`."""
    nets: dict[str, nn.Module] = {
        "item_tower": model.item_tower, "user_tower": model.user_tower, "ranker": model.ranker,
    }  # fmt: skip
    tables = signatures(spec, model.items)
    for name, net in nets.items():
        export_graph(net, tables[name], OUTPUTS[name], folder / f"{name}.onnx")
    if fusable(model.ranker):
        export_loop(model.ranker, folder)


def export_graph(net: nn.Module, inputs: Mapping[str, Axis], output: str, path: Path) -> None:
    """Write one net as one file; axes that are letters in `inputs` stay dynamic under that name."""
    generator = np.random.default_rng(0)
    example: dict[str, Tensor] = {
        name: torch.from_numpy(axis.random(SIZES, generator)) for name, axis in inputs.items()
    }
    training = net.training
    net.eval()
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            net,
            kwargs=example,
            input_names=list(example),
            output_names=[output],
            dynamic_shapes=_dynamic(inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    net.train(training)
    assert program is not None  # it is only with dynamo=False
    onnx.save(bare(program.model_proto), path)


def bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without where its nodes came from: lines and paths of this machine, which would differ on the next."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def _dynamic(inputs: Mapping[str, Axis]) -> dict[str, dict[int, torch.export.Dim]]:
    dims = {letter: torch.export.Dim(letter) for letter in SIZES}
    return {
        name: {place: dims[letter] for place, letter in enumerate(axis.axes) if isinstance(letter, str)}
        for name, axis in inputs.items()
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about itself; warnings about our nets stay errors where they are."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # "torchvision is not installed"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message="# The axis name: . will not be used", category=UserWarning)
        try:
            yield
        finally:
            log.setLevel(level)
