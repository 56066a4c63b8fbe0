"""Sealing: nothing is served that is not whole and proven, whenever the run stops."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import index.build
from index.backends import FaissIndex, faiss, open_index
from index.build import EXACT_BELOW, build_faiss, point_current, seal
from index.recall import recall
from model.bundle import MANIFEST, SEAL, open_bundle
from model.errors import BundleError, GateError
from tests.tiny_bundles import DIM, write_tiny


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_seal_makes_vectors_indexes_columns_and_says_what_it_measured(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((12, DIM)).astype(np.float32)
    path = write_tiny(tmp_path, vectors=vectors, user_items=[[1, 2], [], [3]])
    manifest = seal(path, gate=0.9)
    bundle = open_bundle(path)
    assert bundle.manifest == manifest
    np.testing.assert_allclose(bundle.array("item_features/vectors.npy"), vectors, rtol=1e-6)
    expected = [vectors[[1, 2]].mean(0), np.zeros(DIM), vectors[3]]
    np.testing.assert_allclose(bundle.array("user_features/vectors.npy"), expected, rtol=1e-5)
    assert manifest.gates["items.faiss"] == {"recall_at_100": 1.0, "gate": 0.9, "queries": 3, "index": "Flat"}
    assert len(open_index(path / "users.faiss", bundle.array("user_features/vectors.npy"))) == 3
    assert (tmp_path / "current").resolve() == path.resolve()


def test_a_second_seal_changes_nothing(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    first = seal(path)
    before = snapshot(path)
    assert seal(path).content_digest == first.content_digest
    assert snapshot(path) == before


def test_two_runs_with_equal_results_have_equal_content(tmp_path: Path) -> None:
    assert seal(write_tiny(tmp_path, "v1")).content_digest == seal(write_tiny(tmp_path, "v2")).content_digest


def test_without_users_the_items_themselves_are_the_queries(tmp_path: Path) -> None:
    manifest = seal(write_tiny(tmp_path, user_items=[]))
    assert manifest.gates["items.faiss"]["queries"] == 30


def poor(vectors: NDArray[np.float32], queries: NDArray[np.float32], gate: float) -> Any:
    """An index that holds the vectors back to front."""
    found: Any = faiss.IndexFlatIP(vectors.shape[1])
    found.add(vectors[::-1].copy())
    return found


@pytest.mark.parametrize("sealed_before", [False, True])
def test_below_the_gate_there_is_no_seal_and_nothing_changes(tmp_path: Path, sealed_before: bool) -> None:
    path = write_tiny(tmp_path, items=300)
    if sealed_before:
        seal(path)
    before = snapshot(path)
    with pytest.raises(
        GateError, match=r"recall@100 of items.faiss: found 0\.\d+; it must be 0.97 or more; build another"
    ):
        seal(path, builder=poor)
    assert snapshot(path) == before
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".tmp-")] == []


@pytest.mark.parametrize("gate", [0.0, 1.5, float("nan")])
def test_a_gate_that_says_nothing_is_refused(tmp_path: Path, gate: float) -> None:
    with pytest.raises(GateError, match=r"gate: found .*give a recall above 0 and at most 1"):
        seal(write_tiny(tmp_path), gate)


def test_broken_vectors_are_refused(tmp_path: Path) -> None:
    vectors = np.ones((5, DIM), np.float32)
    vectors[3] = np.nan
    with pytest.raises(GateError, match="item_vector: found 'NaN or infinity in row 3'; train again"):
        seal(write_tiny(tmp_path, vectors=vectors))


def test_a_damaged_bundle_is_not_sealed(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    (path / "ranker.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"ranker.onnx"):
        seal(path)


class Stop(BaseException):
    """A kill."""


def killed_at(call: int, real: Callable[..., object]) -> tuple[Callable[..., object], list[int]]:
    """`real`, which is killed on its n-th call, and the count of calls."""
    calls = [0]

    def run(*arguments: object) -> object:
        calls[0] += 1
        if calls[0] == call:
            raise Stop
        return real(*arguments)

    return run, calls


@pytest.mark.parametrize("sealed_before", [False, True])
@pytest.mark.parametrize("step", ["item_vectors", "write_columns", "sync_file", "write_manifest", "write_seal"])
def test_a_kill_at_any_step_leaves_what_was_or_nothing_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, sealed_before: bool
) -> None:
    path = write_tiny(tmp_path)
    if sealed_before:
        seal(path)
    call = -2
    while True:
        call += 3  # every third call will do: most are one more file
        with monkeypatch.context() as patched:
            function, calls = killed_at(call, getattr(index.build, step))
            patched.setattr(index.build, step, function)
            try:
                seal(path)
            except Stop:
                pass
            else:
                assert calls[0] < call
                break
        if (path / SEAL).exists():
            assert sealed_before
            open_bundle(path)
        else:
            with pytest.raises(BundleError, match="not sealed"):
                open_bundle(path)
    assert open_bundle(path).version == "v1"
    assert call > 1


def test_leftovers_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    for name in (f".tmp-{MANIFEST}", "filters/99.rows.npy", "item_features/vectors.npy"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(b"half")
    (tmp_path / ".tmp-seal-v1-killed").mkdir()
    seal(path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["current", "v1"]
    assert "filters/99.rows.npy" not in open_bundle(path).manifest.files


def test_current_always_points_at_a_bundle_while_it_moves(tmp_path: Path) -> None:
    paths = [write_tiny(tmp_path, version) for version in ("v1", "v2")]
    point_current(paths[0])
    seen, done = set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add((tmp_path / "current").resolve(strict=True).name)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for turn in range(200):
        point_current(paths[turn % 2])
    done.set()
    watcher.join()
    assert seen == {"v1", "v2"}
    assert (tmp_path / "current").readlink() == Path("v2")


def test_something_else_called_current_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    with pytest.raises(BundleError, match=r"current: found 'not a link'; move it away"):
        point_current(write_tiny(tmp_path))


def test_sealing_by_the_link_seals_what_it_points_at(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    point_current(path)
    seal(tmp_path / "current")
    assert (tmp_path / "current").readlink() == Path("v1")
    assert open_bundle(path).version == "v1"


def clustered(rows: int, seed: int) -> NDArray[np.float32]:
    rng, centres = np.random.default_rng(seed), np.random.default_rng(9).standard_normal((100, 16))
    return (centres[rng.integers(0, 100, rows)] + 0.4 * rng.standard_normal((rows, 16))).astype(np.float32)


def test_from_twenty_thousand_rows_on_lists_reach_the_gate_on_queries_never_seen() -> None:
    vectors = clustered(EXACT_BELOW, 0)
    made = FaissIndex(build_faiss(vectors, clustered(500, 1), 0.97), vectors)
    assert made.kind.startswith("IVF282,PQ16x4fs+exact nprobe=")
    assert recall(made, vectors, clustered(500, 2)) >= 0.97


def test_below_twenty_thousand_rows_the_index_is_exact() -> None:
    vectors = clustered(EXACT_BELOW - 1, 0)
    made = FaissIndex(build_faiss(vectors, clustered(10, 1), 0.97), vectors)
    assert made.kind == "Flat"
    assert recall(made, vectors, clustered(50, 2)) == 1.0


def test_where_short_codes_cannot_reach_the_gate_the_index_is_exact() -> None:
    vectors = np.random.default_rng(0).standard_normal((EXACT_BELOW, 4)).astype(np.float32)
    queries = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    made = FaissIndex(build_faiss(vectors, queries, 1.0), vectors)
    assert made.kind == "Flat" or made.kind.startswith("IVF282,PQ4x4fs+exact")
    assert recall(made, vectors, queries) == 1.0
