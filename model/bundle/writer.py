"""Writing a bundle: into a temporary folder, renamed to its version when everything is there."""

import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from model.bundle.digests import TEMPORARY, sync_file, write_manifest
from model.bundle.manifest import Manifest
from model.errors import BundleError
from model.features.counters import ItemCounters
from model.features.neighbours import Neighbours

VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")


class HasJson(Protocol):
    """A record that knows its JSON bytes."""

    def to_json(self) -> bytes:
        """The record as JSON bytes."""
        ...


def version_name(created: datetime, fingerprint: str) -> str:
    """A version such as `20261124-1612-3f9a`: UTC minute and four hex digits of what it was made from."""
    return f"{created.astimezone(UTC):%Y%m%d-%H%M}-{fingerprint[:4]}"


class BundleWriter:
    """Collects a bundle's files; leaving the `with` block without an error makes `parent/version` out of them.

    Raises BundleError when the version is taken or not a plain name, or when no manifest was given.
    """

    def __init__(self, parent: Path, version: str) -> None:
        if not VERSION.fullmatch(version) or version == "current":
            raise BundleError("bundle version", version, "use letters, digits, '.', '_' and '-'; not 'current'")
        self.final = Path(parent) / version
        self._refuse_taken()
        self.final.parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{version}-", dir=parent))
        self.path.chmod(0o755)  # mkdtemp's 0700 would lock out a service that runs as another user
        self._manifest: Manifest | None = None

    def __enter__(self) -> "BundleWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self.path, ignore_errors=True)

    def file(self, name: str) -> Path:
        """Where to write the file `name` (relative path); its folder exists."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def array(self, name: str, array: NDArray[Any]) -> None:
        """Write an array as `name` (ends in .npy)."""
        np.save(self.file(name), array, allow_pickle=False)

    def json(self, name: str, value: object) -> None:
        """Write a JSON file."""
        self.file(name).write_bytes(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))

    def ids(self, items: Sequence[str], users: Sequence[str]) -> None:
        """Write ids.json: item and user ids by row."""
        self.json("ids.json", {"items": list(items), "users": list(users)})

    def records(self, folder: str, records: Iterable[HasJson]) -> None:
        """Write records.bin and records_offsets.npy into `item_features` or `user_features`, one record a row."""
        offsets = [0]
        with self.file(f"{folder}/records.bin").open("wb") as file:
            for record in records:
                offsets.append(offsets[-1] + file.write(record.to_json()))
        self.array(f"{folder}/records_offsets.npy", np.asarray(offsets, np.int64))

    def neighbours(self, name: str, table: Neighbours) -> None:
        """Write the item → item table of a channel."""
        table.save(self.path / "neighbours" / name)

    def counters(self, counters: ItemCounters) -> None:
        """Write the item counters as of the end of the log."""
        counters.save(self.path / "counters")

    def manifest(self, manifest: Manifest) -> None:
        """Give the manifest; its digests are filled in on leaving the block."""
        if manifest.version != self.final.name:
            raise BundleError("manifest version", manifest.version, f"give the writer's own, {self.final.name!r}")
        self._manifest = manifest

    def _finish(self) -> None:
        if self._manifest is None:
            raise BundleError("manifest", None, "call BundleWriter.manifest(…) before leaving the block")
        write_manifest(self.path, self._manifest)
        self._refuse_taken()
        self.path.rename(self.final)
        sync_file(self.final.parent)

    def _refuse_taken(self) -> None:
        if self.final.exists():
            raise BundleError("bundle version", str(self.final), "it exists already; give another version or remove it")
