"""Seal a bundle: encode its catalogue, build its indexes, prove their recall, and only then say so."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.backends import FaissIndex, faiss, many_threads, read_faiss
from index.columns import write_columns
from index.recall import SAMPLE, TOP, exact_cuts, recall, sampled
from index.scenes import write_scenes
from index.vectors import item_vectors, user_vectors
from model.bundle import SEAL, Bundle, Manifest, open_bundle, write_manifest, write_seal
from model.bundle.digests import TEMPORARY, sync_file
from model.errors import BundleError, GateError

EXACT_BELOW = 20_000  # rows; from here on lists (IVF) pay
POINTS_A_LIST = 64  # training points of k-means
MARGIN = 0.01  # recall aimed at above the gate, since other queries than the measured ones will come
CURRENT = "current"

Vectors = NDArray[np.float32]
Builder = Callable[[Vectors, Vectors, float], Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One index: its file, what it holds [N, D], and real queries [B, D] to measure it with."""

    file: str
    vectors: Vectors
    queries: Vectors


def build_faiss(vectors: Vectors, queries: Vectors, gate: float) -> Any:
    """FAISS index over `vectors` [N, D]: exact below EXACT_BELOW rows, above it lists of short codes (IVF, 4-bit PQ).

    As many lists are probed as it takes for `queries` to pass `gate`; where all of them do not, it is exact after all.
    """
    exact = faiss.IndexFlatIP(vectors.shape[1])
    exact.add(vectors)
    if len(vectors) < EXACT_BELOW:
        return exact
    lists, dim = int(2 * np.sqrt(len(vectors))), vectors.shape[1]
    index = faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(dim), dim, lists, dim, 4, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = POINTS_A_LIST
    index.train(vectors)
    index.add(vectors)
    return index if _probing(index, vectors, queries, gate) else exact


def _probing(index: Any, vectors: Vectors, queries: Vectors, gate: float) -> bool:
    """Set the fewest probes (growing by a tenth) whose recall has the margin above the gate; whether any has."""
    aim, cuts = min(gate + MARGIN, 1.0), exact_cuts(vectors, queries, min(TOP, len(vectors)))
    probes, found = 4.0, 0.0
    while found < aim and index.nprobe < index.nlist:
        index.nprobe = min(int(probes), index.nlist)
        found = recall(FaissIndex(index, vectors), vectors, queries, cuts=cuts)
        probes = max(1.1 * probes, probes + 1)
    return found >= gate


def seal(path: Path, gate: float = 0.97, builder: Builder = build_faiss) -> Manifest:
    """Encode, index, measure and seal the bundle at `path`, and point `current` beside it at it.

    Raises GateError, leaving the bundle as it was, when recall@100 of an index against exact search is below `gate`;
    BundleError when the bundle itself does not verify. A run cut short leaves an unsealed bundle, to be sealed again.
    """
    if not 0 < gate <= 1:
        raise GateError("gate", gate, "give a recall above 0 and at most 1")
    bundle = open_bundle(path, sealed=False)
    staging = _staging(bundle.path)
    try:
        gates = _stage(bundle, staging, gate, builder)
        manifest = _install(bundle, staging, gates)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    point_current(bundle.path)
    return manifest


def _staging(bundle: Path) -> Path:
    """A folder beside the bundle to build in; what killed runs on the same bundle left is removed."""
    prefix = f"{TEMPORARY}seal-{bundle.name}-"
    for left in bundle.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=bundle.parent))


def _stage(bundle: Bundle, staging: Path, gate: float, builder: Builder) -> dict[str, Any]:
    """Write all that the index step makes into `staging`; returns what was measured of the files read back."""
    threads = os.cpu_count() or 1
    items = _finite("item_vector", item_vectors(bundle, threads))
    users = _finite("user_vector", user_vectors(bundle, items, threads))
    for name, vectors in (("item", items), ("user", users)):
        (staging / f"{name}_features").mkdir()
        np.save(staging / f"{name}_features" / "vectors.npy", vectors)
    records = [bundle.item_record(row) for row in range(len(bundle.items))]
    write_columns(staging, bundle.spec.attributes, records)
    write_scenes(staging, bundle, records)
    parts = (Part("items.faiss", items, users if len(users) else items), Part("users.faiss", users, items))
    return {part.file: _built(part, staging / part.file, gate, builder) for part in parts}


def _finite(what: str, vectors: Vectors) -> Vectors:
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        raise GateError(what, f"NaN or infinity in row {broken[0]}", "train again: the tower is broken")
    return vectors


def _built(part: Part, path: Path, gate: float, builder: Builder) -> dict[str, Any]:
    """Build and write one index, read it back, and hold it to the gate; returns what the manifest says of it."""
    queries = sampled(part.queries)
    with many_threads(os.cpu_count() or 1):
        faiss.write_index(builder(part.vectors, queries, gate), str(path))
        index = FaissIndex(read_faiss(path), part.vectors)
        found = recall(index, part.vectors, queries)
    if len(index) != len(part.vectors) or found < gate:
        raise GateError(
            f"recall@{TOP} of {part.file}", round(found, 4), f"it must be {gate} or more; build another index"
        )
    return {f"recall_at_{TOP}": found, "gate": gate, "queries": min(len(queries), SAMPLE), "index": index.kind}


def _install(bundle: Bundle, staging: Path, gates: dict[str, Any]) -> Manifest:
    """Move the staged files into the bundle: unsealed first, sealed last, so that no mixture is ever served."""
    (bundle.path / SEAL).unlink(missing_ok=True)
    sync_file(bundle.path)
    _sweep(bundle.path)
    for source in sorted(path for path in staging.rglob("*") if path.is_file()):
        target = bundle.path / source.relative_to(staging)
        target.parent.mkdir(exist_ok=True)
        sync_file(source)
        source.replace(target)
        sync_file(target.parent)
    manifest = write_manifest(bundle.path, bundle.manifest.model_copy(update={"gates": bundle.manifest.gates | gates}))
    write_seal(bundle.path)
    return manifest


def _sweep(folder: Path) -> None:
    """Remove what an earlier run left: its columns (there may be fewer now) and half-written files."""
    shutil.rmtree(folder / "filters", ignore_errors=True)
    for path in folder.rglob(f"{TEMPORARY}*"):
        path.unlink()


def point_current(bundle: Path) -> None:
    """Point the link `current` beside a bundle at it, in one step: readers see the old one or the new one."""
    link = bundle.parent / CURRENT
    if link.exists() and not link.is_symlink():
        raise BundleError(str(link), "not a link", "move it away: `current` must be a link to the newest bundle")
    beside = bundle.parent / f"{TEMPORARY}{CURRENT}-{os.getpid()}"
    beside.unlink(missing_ok=True)
    beside.symlink_to(bundle.name)
    beside.replace(link)
