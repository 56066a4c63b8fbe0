"""Reading a bundle: arrays are mapped, records come by offset, graphs run, and misfits are named."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from model.bundle import Bundle, BundleWriter, open_bundle
from model.errors import BundleError
from model.features.ranking import Inputs
from model.features.records import ItemRecord, UserRecord
from tests.tiny_bundles import DIM, SPEC, tiny_manifest, write_tiny


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    records = [ItemRecord({"title": f"Ünï {row}"}, {"kind": "car", "colour": ["red"]}) for row in range(5)]
    path = write_tiny(tmp_path_factory.mktemp("bundles"), items=5, records=records, user_items=[[0, 3], [], [4]])
    return open_bundle(path, sealed=False)


def test_records_come_back_by_row(bundle: Bundle) -> None:
    assert bundle.item_record(0).text == {"title": "Ünï 0"}
    assert bundle.item_record(4) == ItemRecord({"title": "Ünï 4"}, {"kind": "car", "colour": ["red"]})
    assert bundle.user_record(2) == UserRecord({"age": 22.0})


@pytest.mark.parametrize("row", [-1, -5])
def test_row_minus_one_is_not_the_last_record(bundle: Bundle, row: int) -> None:
    with pytest.raises(IndexError, match="rows start at 0"):
        bundle.item_record(row)


def test_histories_are_each_users_own(bundle: Bundle) -> None:
    assert bundle.user_history(0).rows.tolist() == [0, 3]
    assert len(bundle.user_history(1)) == 0
    history = bundle.user_history(2)
    assert (history.rows.tolist(), history.types.tolist(), history.times.tolist()) == ([4], [1], [2.0])
    assert np.isnan(history.values).all()


def test_ids_counters_neighbours_and_fallbacks_are_there(bundle: Bundle) -> None:
    assert (bundle.items.row("i3"), bundle.users.id(1), bundle.version) == (3, "u1", "v1")
    assert bundle.neighbours("cooccurrence").of(1).rows.tolist() == [2]
    assert bundle.fallbacks()["popular"] == ["i1", "i0"]
    assert len(bundle.counters()) == 5


def test_counters_are_the_callers_own_copy(bundle: Bundle) -> None:
    counters = bundle.counters()
    counters.add(0, 1, 100.0)
    assert bundle.counters().counts.sum() == 0


def test_arrays_are_read_only_and_opened_once(bundle: Bundle) -> None:
    graph = bundle.array("item_features/graph.npy")
    assert bundle.array("item_features/graph.npy") is graph
    assert type(graph) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        graph[0, 0] = 1


def test_sessions_run_and_are_opened_once(bundle: Bundle) -> None:
    session = bundle.session("item_tower")
    inputs: Inputs = {
        "item_id": np.zeros(2, np.int64),
        "text": np.zeros((2, SPEC.text_dim), np.float32),
        "attributes": np.zeros((2, 4), np.int64),
        "graph": np.ones((2, DIM), np.float32),
    }
    (vectors,) = session.run(["item_vector"], inputs)
    assert vectors.tolist() == np.ones((2, DIM)).tolist()
    assert bundle.session("item_tower") is session
    assert bundle.session("item_tower", threads=2) is not session


@pytest.mark.parametrize(
    "ask", [lambda b: b.array("none.npy"), lambda b: b.session("none"), lambda b: b.neighbours("none")]
)
def test_what_a_bundle_lacks_is_named(bundle: Bundle, ask: object) -> None:
    assert callable(ask)
    with pytest.raises(BundleError, match=r"none.*found 'no file'"):
        ask(bundle)


def test_a_link_is_followed_once(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write_tiny(tmp_path, version)
    link = tmp_path / "current"
    link.symlink_to("v1")
    bundle = open_bundle(link, sealed=False)
    link.unlink()
    link.symlink_to("v2")
    assert bundle.path.name == bundle.version == "v1"


def test_an_index_and_a_model_of_different_runs_do_not_mix(tmp_path: Path) -> None:
    path = write_tiny(tmp_path, "v1", items=6)
    with BundleWriter(tmp_path, "v2") as writer:
        shutil.copytree(path, writer.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
        writer.ids(["a", "b"], [f"u{row}" for row in range(6)])
        writer.manifest(tiny_manifest("v2"))
    with pytest.raises(BundleError, match=r"id_index.npy: found \(6,\); ids.json and the spec need \(2,\)"):
        open_bundle(tmp_path / "v2", sealed=False)


def test_a_bundle_without_users_opens(tmp_path: Path) -> None:
    bundle = open_bundle(write_tiny(tmp_path, user_items=[]), sealed=False)
    assert len(bundle.users) == 0
    with pytest.raises((IndexError, ValueError)):
        bundle.user_record(0)
