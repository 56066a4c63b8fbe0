"""Sessions and devices: CUDA is used only where a graph has run on it; the provider is faked at the session."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from model.export.signatures import signatures
from model.features import sessions
from model.features.sessions import (
    CPU,
    CUDA,
    PROBE,
    BoundSession,
    DeviceError,
    Session,
    chosen_device,
    cuda_failure,
    open_session,
    session_options,
)
from tests.cards import Binding, buffers_here
from tests.pipelines import sealed, sealed_path


class Card:
    """A stand-in for onnxruntime on a machine whose CUDA provider behaves as told."""

    def __init__(self, product: float = 2.0, providers: Sequence[str] = (CUDA, CPU), broken: str = "") -> None:
        self.product, self.providers, self.broken = product, providers, broken
        self.opened: list[list[str]] = []

    def __call__(self, model: Path | bytes, options: ort.SessionOptions, providers: list[str]) -> Session:
        self.opened.append(providers)
        if self.broken and CUDA in providers:
            raise RuntimeError(self.broken)
        return self

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        return [np.full((2, 2), self.product, np.float32)]

    def get_inputs(self) -> Sequence[Any]:
        return []

    def get_providers(self) -> Sequence[str]:
        return self.providers


def test_the_probe_is_a_product() -> None:
    session = ort.InferenceSession(PROBE, providers=[CPU])
    (product,) = session.run(None, {"x": np.asarray([[1, 2], [3, 4]], np.float32)})
    assert product.tolist() == [[7, 10], [15, 22]]


class BindingCard(Card):
    """A stand-in that computes the probe's product by I/O binding, as a card would."""

    def __init__(self) -> None:
        super().__init__()
        self.session, self.bindings = ort.InferenceSession(PROBE, providers=[CPU]), list[Binding]()

    def io_binding(self) -> Binding:
        self.bindings.append(Binding(self.session.io_binding()))
        return self.bindings[-1]

    def run_with_iobinding(self, binding: Binding) -> None:
        self.session.run_with_iobinding(binding.real)

    def get_outputs(self) -> Sequence[Any]:
        found: Sequence[Any] = self.session.get_outputs()
        return found


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_card_that_computes_is_chosen_and_used(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    buffers_here(monkeypatch)
    card = BindingCard()
    session = open_session(Path("x.onnx"), 1, device, card)
    assert card.opened == [[CUDA], [CUDA, CPU]]
    assert session.get_providers() == (CUDA, CPU)
    assert session.get_inputs() == []
    for number in (1.0, 2.0):
        given = np.full((2, 2), number, np.float32)
        for names in (["y"], None):
            (product,) = session.run(names, {"x": given})
            assert product.tolist() == (given @ given).tolist()
        assert (given == number).all()  # what was laid on the card is a copy
    assert {place for binding in card.bindings for place in binding.places} == {"cuda"}


@pytest.mark.parametrize("most", [512, 3])
def test_a_bound_session_says_what_a_plain_one_says_whatever_the_shapes(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BUFFERS_MOST", most)
    plain = sealed().session("ranker")
    bound = BoundSession(ort.InferenceSession(str(sealed_path() / "ranker.onnx"), providers=[CPU]), "cpu")
    generator, table = np.random.default_rng(0), signatures(sealed().spec, 1)["ranker"]
    for candidates in (7, 3, 7, 1):
        sizes = {"B": 2, "C": candidates, "L": 4}
        inputs = {name: axis.random(sizes, generator) for name, axis in table.items()}
        (expected,), (found,) = (one.run(["logits"], inputs) for one in (plain, bound))
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.asarray(found).shape == (2, candidates, 3)


@pytest.mark.parametrize(
    ("card", "why"),
    [
        (Card(product=3.0), "a wrong product"),
        (Card(providers=[CPU]), "a session on"),
        (Card(broken="CUDA driver version is insufficient"), "driver version is insufficient"),
    ],
)
def test_a_card_that_does_not_compute_is_passed_over_or_named(card: Card, why: str) -> None:
    assert chosen_device("auto", card) == "cpu"
    with pytest.raises(DeviceError, match=f"device cuda: found .*{why}.*choose auto or cpu"):
        chosen_device("cuda", card)


def test_cpu_asks_no_card() -> None:
    card = Card()
    assert chosen_device("cpu", card) == "cpu"
    assert card.opened == []


def test_a_card_is_proven_once() -> None:
    card = Card()
    for _ in range(3):
        chosen_device("auto", card)
    assert card.opened == [[CUDA]]


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(DeviceError, match="device: found 'tpu'; choose auto, cpu or cuda"):
        chosen_device("tpu")


def test_without_a_cuda_onnxruntime_auto_is_cpu() -> None:
    if CUDA not in ort.get_available_providers():
        assert cuda_failure() == "an onnxruntime without CUDA"
    assert chosen_device("auto") in ("cpu", "cuda")


def test_a_session_has_the_threads_asked_for_and_does_not_spin(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(PROBE)
    assert list(open_session(tmp_path / "x.onnx").get_providers()) == [CPU]
    options = session_options(3)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
