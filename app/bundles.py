"""The bundles folder: what lies in it, and where a version is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from model.bundle import MANIFEST, SEAL
from model.errors import BundleError

CURRENT = "current"
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Found:
    """One bundle as its folder shows it; nothing is verified here."""

    version: str
    created: str
    sealed: bool


def list_bundles(folder: Path) -> list[Found]:
    """Every bundle in a folder, newest first."""
    return sorted(_found(folder), key=lambda one: (one.created, one.version), reverse=True)


def _found(folder: Path) -> Iterator[Found]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if VERSION.fullmatch(path.name) and not path.is_symlink() and (path / MANIFEST).is_file():
            yield Found(path.name, _created(path / MANIFEST), (path / SEAL).is_file())


def _created(path: Path) -> str:
    try:
        return str(orjson.loads(path.read_bytes())["created"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""  # a damaged bundle is listed all the same; opening it says what is wrong


def bundle_path(folder: Path, version: str) -> Path | None:
    """Where a version lies, None when it does not; a name that leaves the folder is no version."""
    path = folder / version
    known = VERSION.fullmatch(version) is not None and version != CURRENT and path.is_dir()
    return path if known else None


def same_name(path: Path, version: str) -> str:
    """The version, which is also its folder's name: that is how workers find it; raises BundleError when it is not."""
    if path.resolve().name != version:
        raise BundleError(str(path), version, f"rename the folder to the version in its manifest, {version!r}")
    return version


def default_path(folder: Path) -> Path:
    """The bundle that `current` points at; raises BundleError when there is none."""
    path = folder / CURRENT
    if not path.is_dir():
        raise BundleError(str(path), None, "train one (`make demo`, `polyrank train RECIPE`) or give --bundle PATH")
    return path.resolve()
