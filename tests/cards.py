"""A machine with a card, faked where onnxruntime and FAISS begin: what is asked of it the processor does."""

from collections.abc import Sequence
from typing import Any

import faiss
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from model.features import sessions
from model.features.sessions import CPU, CUDA

REAL = ort.InferenceSession
MADE = ort.OrtValue.ortvalue_from_shape_and_type


class Binding:
    """A real I/O binding whose card is the processor; `places` says where outputs were asked for."""

    def __init__(self, binding: Any) -> None:
        self.real, self.places = binding, set[str]()

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        """As the real one."""
        self.real.bind_ortvalue_input(name, value)

    def bind_output(self, name: str, device: str) -> None:
        """As the real one, on the processor."""
        self.places.add(device)
        self.real.bind_output(name, "cpu")

    def copy_outputs_to_cpu(self) -> list[NDArray[Any]]:
        """As the real one."""
        found: list[NDArray[Any]] = self.real.copy_outputs_to_cpu()
        return found


class CardSession(REAL):  # type: ignore[misc, valid-type]  # onnxruntime has no types
    """A session that says it is on a card; `bindings` holds all that were made, by any of them."""

    bindings: list[Binding]

    def __init__(self, source: Any, options: Any = None, providers: Sequence[str] = ()) -> None:
        alone = list(providers) == [CUDA]  # the probe forbids the processor, which does the work here
        super().__init__(source, None if alone else options, providers=[CPU])
        self._said = list(providers)

    def get_providers(self) -> Sequence[str]:
        """Those that were asked for."""
        return self._said

    def io_binding(self) -> Any:
        """As the real one."""
        self.bindings.append(Binding(super().io_binding()))
        return self.bindings[-1]

    def run_with_iobinding(self, binding: Binding) -> None:
        """As the real one."""
        super().run_with_iobinding(binding.real)


def on_a_card(monkeypatch: pytest.MonkeyPatch) -> list[Binding]:
    """From here on there is a card, for networks and index; the bindings that sessions on it make."""
    bindings: list[Binding] = []
    monkeypatch.setattr(CardSession, "bindings", bindings, raising=False)
    monkeypatch.setattr(ort, "InferenceSession", CardSession)
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    buffers_here(monkeypatch)
    sessions.cuda_failure.cache_clear()
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", lambda resources, number, index: index, raising=False)
    return bindings


def buffers_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that are asked for on a card are made in memory."""
    place = staticmethod(lambda shape, kind, device, number: MADE(shape, kind, "cpu", number))
    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_shape_and_type", place)
