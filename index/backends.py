"""Vector indexes behind one protocol: FAISS on the CPU, FAISS on a GPU; larger ones fit the same protocol."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import faiss as faiss_module
import numpy as np
from numpy.typing import NDArray

from model.errors import BundleError
from model.features import kernels
from model.features.sessions import DeviceError

faiss: Any = faiss_module  # its stubs describe the C++ classes, not what the Python layer makes of them
Mask: TypeAlias = NDArray[np.bool_]
Hits: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64]]  # scores [B, k], rows [B, k]; row -1: nothing found
GPU_MOST = 2048  # longest list FAISS returns on a GPU
MORE_OF_ROOT, MORE_MOST = 0.63, 400  # rows that short codes find beyond those wanted: of the square root of N, at most
_threads = threading.local()


class ItemIndex(Protocol):
    """Inner-product search over the rows 0…N-1 of one bundle."""

    def __len__(self) -> int:
        """Number of rows N."""
        ...

    def search(self, queries: NDArray[np.float32], k: int, allowed: Mask | None = None) -> Hits:
        """The k rows of highest inner product for queries [B, D], among `allowed` (bool [N]); best first.

        Rows that an index cannot find are -1 with score -inf, behind all others. What is found is always allowed, but
        an approximate index may find fewer than there are.
        """
        ...


class FaissIndex:
    """A FAISS index over `vectors` [N, D] in CPU memory; a list-based (IVF) one probes more the fewer rows are allowed.

    One of short codes (4 bits a dimension, scanned in registers: André et al. 2017) finds some hundreds of rows more
    than are wanted, whose vectors then say which are nearest: a third of the time of scanning the vectors themselves.
    How many more grows with the catalogue, since more rows then share a code. With 400, recall@100 is .989 at 30,000
    rows (.985 with 100), .987 at 100,000 (.983 with 200), .979 at 300,000 (.978 with 300), .982 at 1,000,000 (.962 with
    200); the gate then chooses how many lists are probed.
    """

    def __init__(self, index: Any, vectors: NDArray[np.float32]) -> None:
        self._index, self._vectors = index, vectors
        self._lists: int = getattr(index, "nlist", 0)
        self._probes: int = getattr(index, "nprobe", 0)
        self._coded = isinstance(index, faiss.IndexIVFPQFastScan)
        self._more = min(int(MORE_OF_ROOT * len(self) ** 0.5), MORE_MOST)

    @property
    def kind(self) -> str:
        """What the manifest says of it."""
        codes = f"PQ{self._index.pq.M}x4fs+exact" if self._coded else "Flat"
        return f"IVF{self._lists},{codes} nprobe={self._probes}" if self._lists else "Flat"

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: NDArray[np.float32], k: int, allowed: Mask | None = None) -> Hits:
        """As ItemIndex; exact when it is flat."""
        single_threaded()
        k = min(k, len(self))
        fetch = min(k + self._more, len(self)) if self._coded else k
        scores, rows = self._index.search(queries, fetch, params=self._parameters(allowed))
        return self._exact(queries, rows, k) if self._coded else (scores, rows)

    def _exact(self, queries: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> Hits:
        """The k nearest of the rows found for each query, by their vectors."""
        scores, places = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        for query, found, place, score in zip(queries, rows, places, scores, strict=True):
            kernels.nearest(self._vectors, found, query, place, score)
        return scores, places

    def _parameters(self, allowed: Mask | None) -> Any:
        if allowed is None:
            return None
        selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        if not self._lists:
            return faiss.SearchParameters(sel=selector)
        share = np.count_nonzero(allowed) / len(allowed)
        probes = min(self._lists, int(np.ceil(self._probes / max(share, 1 / len(allowed)))))
        return faiss.SearchParametersIVF(sel=selector, nprobe=probes)


class GpuIndex:
    """A FAISS index on a GPU, which cannot filter: it fetches more and drops, up to what the card returns at once."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: NDArray[np.float32], k: int, allowed: Mask | None = None) -> Hits:
        """As ItemIndex."""
        k = min(k, len(self), GPU_MOST)
        share = 1.0 if allowed is None else np.count_nonzero(allowed) / len(allowed)
        fetch = int(min(np.ceil(1.5 * k / share) if 0 < share < 1 else k, len(self), GPU_MOST))
        scores, rows = self._index.search(queries, fetch)
        return (scores, rows) if allowed is None else _kept(scores, rows, allowed, k)


def _kept(scores: NDArray[np.float32], rows: NDArray[np.int64], allowed: Mask, k: int) -> Hits:
    """The first k allowed hits of each list, moved to its front; -1 behind them."""
    keep = (rows >= 0) & allowed[rows]
    order = np.argsort(~keep, axis=1, kind="stable")[:, :k]
    keep = np.take_along_axis(keep, order, axis=1)
    found, places = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
    return np.where(keep, found, -np.inf).astype(np.float32), np.where(keep, places, -1)


def single_threaded() -> None:
    """Hold FAISS to one OpenMP thread; the setting is the calling thread's. Processes scale, threads do not."""
    if not getattr(_threads, "set", False):
        faiss.omp_set_num_threads(1)
        _threads.set = True


@contextmanager
def many_threads(count: int) -> Iterator[None]:
    """Let FAISS use `count` threads for what this thread does inside the block: building and measuring, not serving."""
    faiss.omp_set_num_threads(count)
    _threads.set = True
    try:
        yield
    finally:
        faiss.omp_set_num_threads(1)


Mover: TypeAlias = Callable[[NDArray[np.float32]], Any]


def to_gpu(vectors: NDArray[np.float32]) -> Any:
    """An exact index over `vectors` [N, D] on the first GPU: there, comparing all of them is quicker than lists.

    Raises DeviceError when this FAISS has none that works.
    """
    if not hasattr(faiss, "StandardGpuResources"):
        raise DeviceError("device cuda", "a faiss without GPU", "install faiss-gpu-cu12 and its driver, or choose cpu")
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)


def read_faiss(path: Path) -> Any:
    """A FAISS index file, memory-mapped so that all workers share its pages; BundleError when it cannot be read."""
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise BundleError(
            str(path), str(error).splitlines()[0], "seal the bundle again with `polyrank index`"
        ) from None


def open_index(path: Path, vectors: NDArray[np.float32], device: str = "cpu", mover: Mover = to_gpu) -> ItemIndex:
    """Index at `path` over `vectors` [N, D] on `device` (auto, cpu, cuda).

    A GPU is proven by a search that must agree with the CPU's.
    """
    index = FaissIndex(read_faiss(path), vectors)
    if device == "cpu" or not len(index):
        return index
    try:
        return _proven(GpuIndex(mover(vectors)), index, vectors[:1])
    except (DeviceError, RuntimeError) as error:
        if device == "cuda":
            raise DeviceError("device cuda for the index", str(error), "choose auto or cpu") from None
        return index


def _proven(gpu: GpuIndex, cpu: FaissIndex, query: NDArray[np.float32]) -> GpuIndex:
    there, here = (index.search(query, 1)[0] for index in (gpu, cpu))
    if not np.allclose(there, here, rtol=1e-3):
        raise DeviceError("device cuda for the index", there.tolist(), f"the CPU finds {here.tolist()}")
    return gpu
