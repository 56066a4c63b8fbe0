"""sha256 of files and of a bundle's content, and writes that a crash cannot leave half done."""

import hashlib
import os
from pathlib import Path

import orjson

from model.bundle.manifest import MANIFEST, PEOPLE, REPORT, SEAL, Manifest

# What tells times; the digest of what the people's manifest says is in the figures.
TIMED = (REPORT, *(f"{PEOPLE}/{name}" for name in (MANIFEST, REPORT, SEAL)))
TEMPORARY = ".tmp-"  # prefix of whatever is not finished


def file_digest(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listed_files(folder: Path) -> list[str]:
    """Relative POSIX paths of everything in a bundle but folders, the manifest and the seal, sorted."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(name for path in found if (name := path.relative_to(folder).as_posix()) not in (MANIFEST, SEAL))


def content_digest(manifest: Manifest) -> str:
    """sha256 of what a bundle says, without version, time and report: equal for two runs with equal results."""
    said = manifest.model_dump(mode="json", exclude={"version", "created", "content_digest"})
    said["metrics"].pop("minutes", None)
    said["files"] = {name: digest for name, digest in manifest.files.items() if name not in TIMED}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def with_digests(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with the digests of the files that lie in `folder` now."""
    files = {name: file_digest(folder / name) for name in listed_files(folder)}
    filled = manifest.model_copy(update={"files": files})
    return filled.model_copy(update={"content_digest": content_digest(filled)})


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write manifest.json with the digests of the files present; returns what was written."""
    filled = with_digests(folder, manifest)
    write_whole(folder / MANIFEST, orjson.dumps(filled.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
    return filled


def write_seal(folder: Path) -> None:
    """Write SEAL, the digest of manifest.json: from here on the bundle is served."""
    write_whole(folder / SEAL, file_digest(folder / MANIFEST).encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place, flush it to the disk, then move it there: readers see all of it or none."""
    beside = path.with_name(f"{TEMPORARY}{path.name}")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_file(path.parent)


def sync_file(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk, so that it survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
