"""Opening an index: mapped from its file, on a device that is proven by a search."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index.backends import FaissIndex, GpuIndex, faiss, many_threads, open_index, single_threaded, to_gpu
from index.search import search_allowed
from model.errors import BundleError
from model.features.sessions import DeviceError

VECTORS = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    index = faiss.IndexFlatIP(4)
    index.add(VECTORS)
    faiss.write_index(index, str(tmp_path / "items.faiss"))
    return tmp_path / "items.faiss"


class Moved:
    """Vectors that were moved to a card which computes `factor` times the score."""

    def __init__(self, vectors: NDArray[np.float32], factor: float = 1.0) -> None:
        self.vectors, self.factor, self.ntotal = vectors, factor, len(vectors)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        scores, rows = faiss.knn(queries, self.vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
        return scores * self.factor, rows


def no_memory(vectors: Any) -> Any:
    raise RuntimeError("out of device memory")


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_card_that_agrees_with_the_cpu_is_used(path: Path, device: str) -> None:
    assert isinstance(open_index(path, VECTORS, device, Moved), GpuIndex)


@pytest.mark.parametrize(
    ("mover", "why"),
    [(lambda vectors: Moved(vectors, 1.5), "the CPU finds"), (no_memory, "out of device memory")],
)
def test_a_card_that_does_not_is_passed_over_or_named(path: Path, mover: Any, why: str) -> None:
    assert isinstance(open_index(path, VECTORS, "auto", mover), FaissIndex)
    with pytest.raises(DeviceError, match=f"device cuda for the index: found .*{why}.*choose auto or cpu"):
        open_index(path, VECTORS, "cuda", mover)


def test_the_cpu_asks_no_card(path: Path) -> None:
    assert isinstance(open_index(path, VECTORS, "cpu", no_memory), FaissIndex)


def test_a_faiss_without_gpu_says_so() -> None:
    if not hasattr(faiss, "StandardGpuResources"):
        with pytest.raises(DeviceError, match="install faiss-gpu"):
            to_gpu(VECTORS)


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(BundleError, match=r"items.faiss: found .*; seal the bundle again with `polyrank index`"):
        open_index(path, VECTORS)


def test_a_replaced_file_does_not_reach_who_has_the_old_one_open(path: Path) -> None:
    index = open_index(path, VECTORS)
    before = index.search(VECTORS[:3], 5)[1]
    other = path.with_name("new")
    other.write_bytes(b"x" * 10)
    other.replace(path)
    assert (index.search(VECTORS[:3], 5)[1] == before).all()


def test_a_list_longer_than_a_card_gives_is_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.backends.GPU_MOST", 5)
    found = search_allowed(GpuIndex(Moved(VECTORS)), VECTORS, VECTORS[0], 20)
    assert found.rows.tolist() == np.argsort(-(VECTORS @ VECTORS[0]))[:20].tolist()


def test_every_thread_searches_with_one_thread(path: Path) -> None:
    seen = []
    faiss.omp_set_num_threads(2)

    def search() -> None:
        single_threaded()
        single_threaded()
        seen.append(faiss.omp_get_max_threads())

    for _ in range(2):
        thread = threading.Thread(target=search)
        thread.start()
        thread.join()
    assert seen == [1, 1]


def test_many_threads_are_for_the_block_only() -> None:
    with many_threads(2):
        single_threaded()
        assert faiss.omp_get_max_threads() == 2
    assert faiss.omp_get_max_threads() == 1


def test_a_card_finds_what_a_filter_leaves_as_far_as_it_can_fetch() -> None:
    allowed = np.zeros(50, np.bool_)
    allowed[[3, 7, 20]] = True
    scores, rows = GpuIndex(Moved(VECTORS)).search(VECTORS[:1], 5, allowed)
    assert sorted(rows[0].tolist()) == [-1, -1, 3, 7, 20]
    assert (rows[0][3:] == -1).all()
    assert np.isneginf(scores[0][3:]).all()
