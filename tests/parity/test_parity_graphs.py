"""torch = ONNX on every dynamic axis, for every net and every kind of sharing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import GateError
from model.export.onnx import export_graph
from model.export.parity import SIZES, TOLERANCE, cases, compare, prove
from model.export.signatures import signatures
from model.features.sessions import open_session
from model.features.spec import FeatureSpec, TaskSpec
from model.nn.model import MultiTaskModel
from model.nn.settings import NetSettings
from tests.bundles import SHARED
from tests.graphs import graphs, made, small_spec
from tests.nets import ITEMS, small_model, spec_of

DIM = 16


def _model(spec: FeatureSpec) -> MultiTaskModel:
    """The very model behind the shared graphs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MultiTaskModel(spec, SHARED)


@pytest.fixture(scope="module")
def folder() -> Path:
    return graphs("tiny", SHARED, DIM)


def test_the_graphs_say_what_the_networks_say(folder: Path) -> None:
    spec = small_spec()
    found = prove(_model(spec), folder, spec, seed=1)
    told = {"item_tower": 2, "user_tower": 6, "ranker": 18, "ranker_loop": 18}
    assert {name: one["cases"] for name, one in found.items()} == told
    assert all(one["max_abs_error"] <= one["tolerance"] for one in found.values())
    assert set(made(folder)["parity"]) == set(found)


def test_every_combination_of_sizes_is_a_case_with_padding() -> None:
    spec = small_spec()
    found = cases(signatures(spec, ITEMS)["ranker"], np.random.default_rng(0))
    shapes = {(*one["history_types"].shape, one["candidate_features"].shape[1]) for one in found}
    assert shapes == {(b, length, c) for b in SIZES["B"] for length in SIZES["L"] for c in SIZES["C"]}
    assert all(not one["history_types"][:, 0].any() for one in found)


@pytest.mark.parametrize("part", ["item_tower", "user_tower", "ranker"])
def test_a_graph_of_another_model_is_refused(folder: Path, part: str) -> None:
    spec, model = small_spec(), _model(small_spec())
    with torch.no_grad():
        for parameter in model.get_submodule(part).parameters():
            parameter.mul_(1.01)
    with pytest.raises(GateError, match=rf"parity of {part}.onnx: found .*; it must be within .* of the net"):
        prove(model, folder, spec)


def test_a_graph_of_another_width_is_refused(folder: Path) -> None:
    spec = small_spec(dim=8)
    inputs = cases(signatures(spec, SHARED)["item_tower"], np.random.default_rng(0))
    session = open_session(folder / "item_tower.onnx")
    with pytest.raises(GateError, match=r"parity of item_vector: found \(1, 16\); the net gives \(1, 8\)"):
        compare(_model(spec).item_tower, session, "item_vector", inputs)


@pytest.mark.parametrize("kind", ["shared_bottom", "ple"])
def test_other_kinds_of_sharing_and_of_tasks_export_too(tmp_path: Path, kind: str) -> None:
    spec, settings = spec_of(), NetSettings.model_validate({"experts": kind, "expert_width": 8})
    model = small_model(settings, spec).train()
    inputs = signatures(spec, ITEMS)["ranker"]
    export_graph(model.ranker, inputs, "logits", tmp_path / "ranker.onnx")
    assert model.ranker.training
    session = open_session(tmp_path / "ranker.onnx")
    assert [one.name for one in session.get_inputs()] == list(inputs)
    error, tolerance = compare(model.ranker, session, "logits", cases(inputs, np.random.default_rng(2)))
    assert tolerance >= TOLERANCE
    assert error <= tolerance


def test_chains_of_events_export_too(tmp_path: Path) -> None:
    tasks = (
        TaskSpec(name="buy", kind="binary", after="cart"),
        TaskSpec(name="rating", kind="regression", low=1, high=5),
        TaskSpec(name="cart", kind="binary", after="click"),
        TaskSpec(name="click", kind="binary"),
    )
    spec = spec_of(tasks)
    model, inputs = small_model(spec=spec), signatures(spec, ITEMS)["ranker"]
    export_graph(model.ranker, inputs, "logits", tmp_path / "ranker.onnx")
    session, made_inputs = open_session(tmp_path / "ranker.onnx"), cases(inputs, np.random.default_rng(2))
    error, tolerance = compare(model.ranker, session, "logits", made_inputs)
    assert error <= tolerance
    for one in made_inputs:
        (logits,) = session.run(["logits"], one)
        assert (logits[..., 0] <= logits[..., 2]).all()
        assert (logits[..., 2] <= logits[..., 3]).all()


def test_an_export_is_the_same_twice(tmp_path: Path, folder: Path) -> None:
    spec = small_spec()
    export_graph(
        _model(spec).item_tower, signatures(spec, SHARED)["item_tower"], "item_vector", tmp_path / "again.onnx"
    )
    assert (tmp_path / "again.onnx").read_bytes() == (folder / "item_tower.onnx").read_bytes()
