"""int8 weights: scales a channel, tables that stay small, and what is left alone."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from model.export.onnx import bare
from model.export.quantise import quantise_weights, scaled

TABLE = np.random.default_rng(0).standard_normal((200, 32)).astype(np.float32)
SQUARE = np.random.default_rng(1).standard_normal((32, 32)).astype(np.float32)


def _graph(folder: Path) -> Path:
    """ids → rows of a table @ one matrix twice, plus a small matrix."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "square"], ["once"]),
        helper.make_node("MatMul", ["once", "square"], ["twice"]),
        helper.make_node("MatMul", ["twice", "small"], ["y"]),
    ]
    weights = {"table": TABLE, "square": SQUARE, "small": np.eye(32, 2, dtype=np.float32)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["B"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 2])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "plain.onnx")
    return folder / "plain.onnx"


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    assert quantise_weights(_graph(tmp_path), tmp_path / "small.onnx") == 2
    return tmp_path / "small.onnx"


def test_answers_stay_and_large_weights_are_int8(quantised: Path) -> None:
    ids = np.arange(50, dtype=np.int64)
    (found,) = ort.InferenceSession(str(quantised)).run(None, {"ids": ids})
    expected = (TABLE[ids] @ SQUARE @ SQUARE)[:, :2]
    assert np.abs(np.asarray(found) - expected).max() < 0.02 * np.abs(expected).max()
    kinds = {one.name: one.data_type for one in onnx.load(quantised).graph.initializer}
    assert kinds.pop("small") == TensorProto.FLOAT
    assert {name for name, kind in kinds.items() if kind == TensorProto.INT8} == {"table_int8", "square_int8"}
    assert set(kinds) == {"table_int8", "table_scale", "square_int8", "square_scale"}


def test_a_weight_read_twice_is_stored_once(quantised: Path) -> None:
    graph = onnx.load(quantised).graph
    assert [node.op_type for node in graph.node].count("Cast") == 2
    assert [node.input[1] for node in graph.node if node.op_type == "MatMul"] == [
        "square_float",
        "square_float",
        "small",
    ]


@given(axis=st.sampled_from([0, 1]), seed=st.integers(0, 99))
def test_no_number_is_off_by_more_than_half_a_step_of_its_channel(axis: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weight = (generator.standard_normal((6, 9)) * 10.0 ** generator.integers(-3, 3, (6, 9))).astype(np.float32)
    whole, scale = scaled(weight, axis)
    assert np.abs(whole).max() == 127
    assert (np.abs(whole * scale - weight) <= scale * 0.5001).all()


def test_a_channel_of_zeros_stays_zero() -> None:
    whole, scale = scaled(np.zeros((3, 4), np.float32), 1)
    assert not whole.any()
    assert (scale == 1).all()


def test_graphs_tell_nothing_of_where_they_were_made(tmp_path: Path) -> None:
    model = onnx.load(_graph(tmp_path))
    model.doc_string = "secret"
    model.graph.node[0].doc_string = "secret"
    entry = model.graph.node[1].metadata_props.add()
    entry.key, entry.value = "stack", "secret"
    assert b"secret" in model.SerializeToString()
    assert b"secret" not in bare(model).SerializeToString()
