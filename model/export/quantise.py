"""Weights of the text encoder in int8, one scale a channel, with products and sums left in float32.

Quantising the activations too (onnxruntime's dynamic int8) loses a tenth of the ten nearest neighbours, makes a text's
vector depend on what else is in its batch, and differs between processors; here it gains next to nothing in time. With
weights alone the file is a quarter and the neighbours stay (`model.export.parity` measures it at every export).
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

LARGE = 1024  # numbers; smaller tensors stay as they are


def quantise_weights(source: Path, target: Path) -> int:
    """Rewrite the graph at `source` with int8 weights of MatMul and Gather; returns how many were rewritten."""
    model = onnx.load(source)
    weights = {one.name: one for one in model.graph.initializer if _is_large(one)}
    readers = [node for node in model.graph.node if node.op_type in ("MatMul", "Gather")]
    done: set[str] = set()
    for node in readers:
        if node.op_type == "MatMul" and node.input[1] in weights:
            done.add(_product(model.graph, node, weights[node.input[1]]))
        elif node.op_type == "Gather" and node.input[0] in weights:
            done.add(_lookup(model.graph, node, weights[node.input[0]]))
    _drop_unread(model.graph, done)
    onnx.save(model, target)
    return len(done)


def scaled(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 of a matrix and the scale of each channel along `axis`, kept as a row or column: weight ≈ int8 · scale."""
    largest = np.abs(weight).max(axis=1 - axis, keepdims=True)
    scale = np.where(largest > 0, largest / 127.0, 1.0).astype(np.float32)
    return np.round(weight / scale).astype(np.int8), scale


def _is_large(tensor: onnx.TensorProto) -> bool:
    matrix = len(tensor.dims) == 2 and tensor.data_type == onnx.TensorProto.FLOAT
    return matrix and int(np.prod(tensor.dims)) >= LARGE


def _product(graph: onnx.GraphProto, node: onnx.NodeProto, weight: onnx.TensorProto) -> str:
    """x @ W: W is made float again once, when a session opens and folds what is constant.

    Not with DequantizeLinear: onnxruntime keeps that, or fuses it into a product that is four times slower here.
    """
    whole, scale = _stored(graph, weight, axis=1)
    cast, name = f"{weight.name}_cast", f"{weight.name}_float"
    if not any(name in other.output for other in graph.node):
        _before(graph, node, helper.make_node("Cast", [whole], [cast], to=onnx.TensorProto.FLOAT))
        _before(graph, node, helper.make_node("Mul", [cast, scale], [name]))
    node.input[1] = name
    return str(weight.name)


def _lookup(graph: onnx.GraphProto, node: onnx.NodeProto, weight: onnx.TensorProto) -> str:
    """Rows of W: only what is looked up is made float, the table stays in int8."""
    whole, scale = _stored(graph, weight, axis=0)
    out, ids = node.output[0], node.input[1]
    steps = [
        helper.make_node("Gather", [whole, ids], [f"{out}_int8"]),
        helper.make_node("Cast", [f"{out}_int8"], [f"{out}_float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", [scale, ids], [f"{out}_scale"]),
        helper.make_node("Mul", [f"{out}_float", f"{out}_scale"], [out]),
    ]
    for step in steps:
        _before(graph, node, step)
    graph.node.remove(node)
    return str(weight.name)


def _stored(graph: onnx.GraphProto, weight: onnx.TensorProto, axis: int) -> tuple[str, str]:
    """Add int8 and scales of a weight to the graph, once; returns their names."""
    names = (f"{weight.name}_int8", f"{weight.name}_scale")
    if any(one.name == names[0] for one in graph.initializer):
        return names
    whole, scale = scaled(numpy_helper.to_array(weight), axis)
    graph.initializer.extend([numpy_helper.from_array(whole, names[0]), numpy_helper.from_array(scale, names[1])])
    return names


def _before(graph: onnx.GraphProto, node: onnx.NodeProto, new: onnx.NodeProto) -> None:
    graph.node.insert(list(graph.node).index(node), new)


def _drop_unread(graph: onnx.GraphProto, names: set[str]) -> None:
    """Remove the float weights that no node reads any more."""
    read = {name for node in graph.node for name in node.input}
    unread = [one for one in graph.initializer if one.name not in read]
    for one in unread:
        graph.initializer.remove(one)
    assert not names & {one.name for one in graph.initializer}
