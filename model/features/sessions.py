"""ONNX Runtime sessions: one thread each, on a device that has been proven by running on it."""

import threading
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.errors import PolyrankError

Device: TypeAlias = Literal["auto", "cpu", "cuda"]
BUFFERS_MOST = 512  # shapes of inputs whose place on a card is kept
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# A graph y = x @ x over float32 [2, 2], small enough to carry along.
PROBE = b64decode(
    "CAkSADpAChEKAXgKAXgSAXkiBk1hdE11bBIBcFoTCgF4Eg4KDAgBEggKAggCCgIIAmITCgF5Eg4KDAgBEggKAggCCgIIAkIECgAQEg=="
)


class DeviceError(PolyrankError):
    """The device asked for does not run."""


class Session(Protocol):
    """What Polyrank uses of an onnxruntime.InferenceSession."""

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the graph; outputs in the order of `output_names` (None: all)."""
        ...

    def get_inputs(self) -> Sequence[Any]:
        """Descriptions of the inputs (name, shape, type)."""
        ...

    def get_providers(self) -> Sequence[str]:
        """Execution providers in use, first choice first."""
        ...


class BoundSession:
    """A session on a card, by I/O binding: inputs are laid into buffers on it, kept by shape; outputs stay till copied.

    Without it every run allocates and frees the card's memory for each input. Threads wait for each other.
    """

    def __init__(self, session: Any, device: str = "cuda") -> None:
        self._session, self._device, self._turn = session, device, threading.Lock()
        self._buffers: dict[tuple[str, tuple[int, ...]], Any] = {}

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the graph; outputs in the order of `output_names` (None: all)."""
        with self._turn:
            binding = self._session.io_binding()
            for name, array in input_feed.items():
                binding.bind_ortvalue_input(name, self._laid(name, np.ascontiguousarray(array)))
            for name in output_names or [one.name for one in self._session.get_outputs()]:
                binding.bind_output(name, self._device)
            self._session.run_with_iobinding(binding)
            found: list[NDArray[Any]] = binding.copy_outputs_to_cpu()
            return found

    def get_inputs(self) -> Sequence[Any]:
        """Descriptions of the inputs (name, shape, type)."""
        found: Sequence[Any] = self._session.get_inputs()
        return found

    def get_providers(self) -> Sequence[str]:
        """Execution providers in use, first choice first."""
        found: Sequence[str] = self._session.get_providers()
        return found

    def _laid(self, name: str, array: NDArray[Any]) -> Any:
        """The array in the card's buffer of its name and shape."""
        key = (name, array.shape)
        if key not in self._buffers:
            if len(self._buffers) >= BUFFERS_MOST:
                self._buffers.clear()
            made = ort.OrtValue.ortvalue_from_shape_and_type(array.shape, array.dtype.type, self._device, 0)
            self._buffers[key] = made
        self._buffers[key].update_inplace(array)
        return self._buffers[key]


Opener: TypeAlias = Callable[[Path | bytes, ort.SessionOptions, list[str]], Session]


def onnxruntime_session(model: Path | bytes, options: ort.SessionOptions, providers: list[str]) -> Session:
    """The real thing behind `Opener`; tests of device choice pass another."""
    source = model if isinstance(model, bytes) else str(model)
    return cast("Session", ort.InferenceSession(source, options, providers=providers))


def open_session(path: Path, threads: int = 1, device: str = "cpu", opener: Opener = onnxruntime_session) -> Session:
    """Session of the graph at `path`; `device` is auto, cpu or cuda. Raises DeviceError when cuda does not run."""
    if chosen_device(device, opener) == "cpu":
        return opener(path, session_options(threads), [CPU])
    return BoundSession(opener(path, session_options(threads), [CUDA, CPU]))


def session_options(threads: int = 1) -> ort.SessionOptions:
    """Sequential execution on `threads` threads that sleep when idle; more than one pays only on cores of its own."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # A layout is remembered for every shape ever seen, and lengths change from call to call. The arena stays: without
    # it the ranker spends as long again on mapping and unmapping its buffers, and it grows by a few megabytes only.
    options.enable_mem_pattern = False
    for scope in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{scope}.allow_spinning", "0")
    return options


def chosen_device(device: str, opener: Opener = onnxruntime_session) -> Literal["cpu", "cuda"]:
    """`cuda` when asked for or, with auto, when it runs here; raises DeviceError when it was asked for and does not."""
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError("device", device, "choose auto, cpu or cuda")
    if device == "cpu":
        return "cpu"
    failure = cuda_failure(opener)
    if failure is None:
        return "cuda"
    if device == "cuda":
        raise DeviceError("device cuda", failure, "install onnxruntime-gpu and its driver, or choose auto or cpu")
    return "cpu"


@cache
def cuda_failure(opener: Opener = onnxruntime_session) -> str | None:
    """Why CUDA does not run here, None when it does: a product is computed on it, since listing proves nothing."""
    if opener is onnxruntime_session and CUDA not in ort.get_available_providers():
        return "an onnxruntime without CUDA"
    options = session_options()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    ones = np.ones((2, 2), np.float32)
    try:
        session = opener(PROBE, options, [CUDA])
        (product,) = session.run(None, {"x": ones})
    except Exception as error:  # onnxruntime raises a dozen classes of its own, all meaning "not on this device"
        return str(error)
    if list(session.get_providers())[:1] != [CUDA]:
        return f"a session on {list(session.get_providers())}"
    return None if np.array_equal(product, ones @ ones) else f"a wrong product {product.tolist()}"
