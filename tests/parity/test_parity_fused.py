"""The native loop over candidates = the graph ranker.onnx, for all sizes and tasks; and when it is not taken."""

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.export.loop import export_loop, fusable
from model.export.onnx import export_graph
from model.export.parity import cases, compare
from model.export.signatures import signatures
from model.features import fused
from model.features.fused import LOOP, NATIVE, OF_CANDIDATES, OF_USERS, FusedRanker, departure, open_ranker
from model.features.sessions import Session, open_session
from model.features.spec import FeatureSpec, TaskSpec
from model.nn.settings import NetSettings
from tests.nets import ITEMS, small_model, spec_of

TASKS = (
    TaskSpec(name="buy", kind="binary", after="cart"),
    TaskSpec(name="rating", kind="ordinal", low=1, high=5),
    TaskSpec(name="cart", kind="binary", after="click"),
    TaskSpec(name="click", kind="binary"),
    TaskSpec(name="minutes", kind="regression", low=0, high=90),
)
NATIVE_LOOP: Any = import_module("model.features.kernels._ranker")
ODD = {"n_experts": 3, "expert_width": 5, "expert_output": 7, "head_width": 9, "target_heads": 3, "target_width": 5}


def test_this_build_has_the_native_loop() -> None:
    assert NATIVE


def _exported(folder: Path, spec: FeatureSpec, settings: dict[str, Any]) -> torch.nn.Module:
    """A ranker whose gates differ and whose features have scales, as ranker_loop.npy in `folder`."""
    model = small_model(NetSettings.model_validate(settings), spec)
    with torch.no_grad():
        for name, parameter in model.ranker.named_parameters():
            if name.startswith(("first.gates", "heads.wide")):
                parameter.normal_()
    model.ranker.measure(
        torch.randn(50, len(model.ranker.user_norm.mean)) * 2 + 1, torch.randn(50, _features(model)) * 3 - 1
    )
    export_loop(model.ranker, folder)
    return model.ranker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both graphs of one ranker."""
    made = tmp_path_factory.mktemp("fused")
    ranker = _exported(made, spec_of(), {})
    export_graph(ranker, signatures(spec_of(), ITEMS)["ranker"], "logits", made / "ranker.onnx")
    return made


def _features(model: Any) -> int:
    return len(model.ranker.candidate_norm.mean)


def _fused(folder: Path) -> FusedRanker:
    unasked = cast("Session", object())
    return FusedRanker(unasked, np.load(folder / LOOP))


@pytest.mark.parametrize(
    ("tasks", "settings"),
    [((), {}), (TASKS, ODD), (TASKS[3:4], {"n_experts": 1, "sequence": False, "counters": False})],
)
def test_the_loop_says_what_the_net_says(
    tmp_path: Path, tasks: tuple[TaskSpec, ...], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tasks) if tasks else spec_of()
    ranker, session = _exported(tmp_path, spec, settings), _fused(tmp_path)
    inputs = cases(signatures(spec, ITEMS)["ranker"], _generator())
    error, tolerance = compare(ranker, session, "logits", inputs)
    assert error <= tolerance / 10
    monkeypatch.setattr(session, "_rank", NATIVE_LOOP.rank_plain)  # as on a processor of which nothing is known
    error, tolerance = compare(ranker, session, "logits", inputs)
    assert error <= tolerance / 10


def test_numbers_out_of_all_proportion_are_read_alike(folder: Path) -> None:
    whole, inputs = open_session(folder / "ranker.onnx"), cases(signatures(spec_of(), ITEMS)["ranker"], _generator())
    for one in inputs:
        wild = {name: array * np.float32(50) if "candidate" in name else array for name, array in one.items()}
        (expected,), (found,) = whole.run(["logits"], wild), _fused(folder).run(["logits"], wild)
        assert np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


def test_a_request_is_read_alike_alone_and_among_others(folder: Path) -> None:
    session, one = _fused(folder), cases(signatures(spec_of(), ITEMS)["ranker"], _generator())[-1]
    (together,) = session.run(["logits"], one)
    for place in range(len(together)):
        (alone,) = session.run(["logits"], {name: array[place : place + 1] for name, array in one.items()})
        np.testing.assert_allclose(alone[0], together[place], atol=1e-6)


def test_bundles_open_it_and_know_when_not_to(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "ranker.onnx"
    session, whole = open_ranker(path), open_session(path)
    assert isinstance(session, FusedRanker)
    assert [one.name for one in session.get_inputs()] == [one.name for one in whole.get_inputs()]
    assert session.get_providers() == whole.get_providers()
    assert not isinstance(open_ranker(path, threads=2), FusedRanker)
    with monkeypatch.context() as without:
        without.setattr(fused, "NATIVE", False)
        assert not isinstance(open_ranker(path), FusedRanker)
    with monkeypatch.context() as card:
        card.setattr(fused, "open_session", lambda *_: whole)
        card.setattr(fused, "chosen_device", lambda _: "cuda")
        assert open_ranker(path, device="cuda") is whole
    shutil.copy(path, tmp_path / path.name)  # as in a bundle that was made before there was such a graph
    assert not isinstance(open_ranker(tmp_path / path.name), FusedRanker)


def test_a_loop_of_another_ranker_is_not_taken(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(folder / "ranker.onnx", tmp_path / "ranker.onnx")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        _exported(tmp_path, spec_of(), {})
    with caplog.at_level("WARNING"):
        session = open_ranker(tmp_path / "ranker.onnx")
    assert not isinstance(session, FusedRanker)
    assert "the native loop departs from the graph by" in caplog.text
    assert departure(_fused(tmp_path), session) > 1


@pytest.mark.parametrize("settings", [{"experts": "ple"}, {"experts": "shared_bottom"}, {"sharing": False}])
def test_other_rankers_have_no_loop(settings: dict[str, Any]) -> None:
    assert not fusable(small_model(NetSettings.model_validate(settings)).ranker)
    assert fusable(small_model().ranker)


def test_only_logits_can_be_asked_for(folder: Path) -> None:
    one = cases(signatures(spec_of(), ITEMS)["ranker"], _generator())[0]
    with pytest.raises(ValueError, match=r"outputs \['query'\]: ask for \['logits'\]"):
        _fused(folder).run(["query"], one)
    np.testing.assert_array_equal(_fused(folder).run(None, one)[0], _fused(folder).run(["logits"], one)[0])


def _generator() -> np.random.Generator:
    return np.random.default_rng(3)


# D 2, a head of width 3, one feature, expert, task, threshold; a feature of the user in two ranges, a state of width 1,
# two ids of profile, one of context, of 4 and 5; 3 event types, 2 gaps, 2 distances. Two users, 3 events, 4 candidates.
SIZES = (2, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 4, 5, 2, 1, 3, 2, 2)
SHAPES = {
    "weights": (116,), "user_vector": (2, 2), "history_vectors": (2, 3, 2), "history_types": (2, 3),
    "history_values": (2, 3), "history_gaps": (2, 3), "profile": (2, 2), "context": (2, 1), "user_features": (2, 1),
    "candidate_vectors": (2, 4, 2), "candidate_features": (2, 4, 1), "out": (2, 4, 1),
}  # fmt: skip
IDS = {"history_types": 3, "history_gaps": 2, "profile": 4, "context": 5}
ASKED = (2, 3, 4)  # users, events, candidates
CHAIN = slice(29, 31)


def _arrays() -> dict[str, NDArray[Any]]:
    made = {name: np.zeros(shape, np.int64 if name in IDS else np.float32) for name, shape in SHAPES.items()}
    made["weights"][CHAIN] = -1
    return made


def test_the_arrays_of_these_tests_are_those_of_requests() -> None:
    assert [*SHAPES][1:-1] == [*OF_USERS, *OF_CANDIDATES]
    arrays = _arrays()
    arrays["out"][:] = np.nan
    NATIVE_LOOP.rank(SIZES, *ASKED, *arrays.values())
    assert (arrays["out"] == 0).all()


@pytest.mark.parametrize("name", list(SHAPES))
@pytest.mark.parametrize("bad", [lambda x: x.astype(np.float64), lambda x: np.zeros(x.size + 1, x.dtype)])
def test_arrays_are_checked(name: str, bad: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    arrays = _arrays()
    arrays[name] = bad(arrays[name])
    with pytest.raises(ValueError, match=rf"{name} holds .*; give {np.prod(SHAPES[name])} numbers of kind"):
        NATIVE_LOOP.rank(SIZES, *ASKED, *arrays.values())


@pytest.mark.parametrize("name", list(IDS))
def test_ids_are_checked(name: str) -> None:
    arrays = _arrays()
    arrays[name].flat[-1] = IDS[name] - 1
    NATIVE_LOOP.rank(SIZES, *ASKED, *arrays.values())
    for wrong in (IDS[name], -1):
        arrays[name].flat[-1] = wrong
        with pytest.raises(IndexError, match=rf"{name} holds the id {wrong}; there are {IDS[name]}"):
            NATIVE_LOOP.rank(SIZES, *ASKED, *arrays.values())


@pytest.mark.parametrize("link", [-2.0, 1.0, float("nan")])
def test_chains_lead_to_tasks(link: float) -> None:
    arrays = _arrays()
    arrays["weights"][CHAIN] = link
    with pytest.raises(ValueError, match="a task follows none of the others"):
        NATIVE_LOOP.rank(SIZES, *ASKED, *arrays.values())


@pytest.mark.parametrize("size", [0, -1, 2**20 + 1])
def test_sizes_are_checked(size: int) -> None:
    with pytest.raises(ValueError, match=r"size 19 is .*; give 1 to 2\^20"):
        NATIVE_LOOP.rank((*SIZES[:-1], size), *ASKED, *_arrays().values())
    with pytest.raises(ValueError, match="give a tuple of 20"):
        NATIVE_LOOP.rank(SIZES[1:], *ASKED, *_arrays().values())
    with pytest.raises(TypeError):
        NATIVE_LOOP.rank(("one", *SIZES[1:]), *ASKED, *_arrays().values())
