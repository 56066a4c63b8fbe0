"""Writing a bundle: all of it or nothing, under a plain name, digests filled in."""

import hashlib
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from model.bundle import MANIFEST, BundleWriter, content_digest, open_bundle, version_name
from model.bundle.digests import write_whole
from model.errors import BundleError
from tests.tiny_bundles import tiny_manifest, write_tiny


def test_a_version_is_minute_and_fingerprint_in_utc() -> None:
    there = datetime(2026, 11, 24, 18, 12, tzinfo=timezone(timedelta(hours=2)))
    assert version_name(there, "3f9abc") == "20261124-1612-3f9a"
    assert version_name(datetime(2026, 1, 2, tzinfo=UTC), "0000") == "20260102-0000-0000"


def test_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), BundleWriter(tmp_path, "v1") as writer:  # noqa: PT012 - the block is the subject
        writer.json("ids.json", {})
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_block_without_manifest_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(BundleError, match=r"manifest: found None; call BundleWriter.manifest"),
        BundleWriter(tmp_path, "v"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_until_the_block_ends_there_is_no_bundle_of_that_name(tmp_path: Path) -> None:
    with BundleWriter(tmp_path, "v1") as writer:
        writer.manifest(tiny_manifest("v1"))
        assert not (tmp_path / "v1").exists()
    assert (tmp_path / "v1" / MANIFEST).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


@pytest.mark.parametrize("version", ["", "current", "a/b", "../x", ".hidden", "x" * 65, "a b"])
def test_a_version_that_is_no_plain_name_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(BundleError, match=r"bundle version: found .*use letters, digits"):
        BundleWriter(tmp_path, version)


def test_a_taken_version_is_refused(tmp_path: Path) -> None:
    write_tiny(tmp_path, "v1")
    with pytest.raises(BundleError, match="it exists already"):
        BundleWriter(tmp_path, "v1")


def test_the_manifest_must_be_of_the_writers_version(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="give the writer's own, 'v1'"), BundleWriter(tmp_path, "v1") as writer:
        writer.manifest(tiny_manifest("v2"))


def test_other_users_may_read_a_bundle(tmp_path: Path) -> None:
    assert os.stat(write_tiny(tmp_path)).st_mode & 0o055 == 0o055  # noqa: PTH116 - the mode is the point


def test_the_manifest_lists_the_digest_of_every_file(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    files = open_bundle(path, sealed=False).manifest.files
    on_disk = {str(one.relative_to(path)) for one in path.rglob("*") if one.is_file()} - {MANIFEST}
    assert files.keys() == on_disk
    for name, digest in files.items():
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == digest


def test_equal_content_has_an_equal_digest_whatever_the_version_time_and_report(tmp_path: Path) -> None:
    first, second = (open_bundle(write_tiny(tmp_path, name), sealed=False).manifest for name in ("v1", "v2"))
    assert first.content_digest == second.content_digest == content_digest(second)
    files = {**second.files, "report.html": "ab"}
    later = second.model_copy(update={"created": "2027", "files": files, "metrics": {"minutes": {"fit": 1.5}}})
    assert content_digest(later) == first.content_digest


def test_other_content_has_another_digest(tmp_path: Path) -> None:
    manifest = open_bundle(write_tiny(tmp_path), sealed=False).manifest
    files = {**manifest.files, "ids.json": "ab"}
    changes: tuple[dict[str, object], ...] = ({"metrics": {"ndcg": 0.2}}, {"files": files}, {"recipe": {}})
    for change in changes:
        assert content_digest(manifest.model_copy(update=change)) != manifest.content_digest


def test_arrays_with_objects_are_refused_since_they_would_be_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"), BundleWriter(tmp_path, "v1") as writer:
        writer.array("x.npy", np.asarray([{}], object))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "x"
    write_whole(target, b"old")
    with target.open("rb") as reader:
        write_whole(target, b"new")
        assert reader.read() == b"old"
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
