"""An opened bundle: its arrays memory-mapped, its records read by offset, its graphs as sessions."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from model.bundle.manifest import MANIFEST, PEOPLE, Manifest
from model.bundle.verify import REMAKE, verified_manifest
from model.errors import BundleError
from model.events import History
from model.features.counters import ItemCounters
from model.features.fused import open_ranker
from model.features.lexical import BUCKETS, FILES, FOLDER, Lexicon
from model.features.neighbours import Neighbours
from model.features.records import ItemRecord, UserRecord
from model.features.sessions import Session, open_session
from model.features.spec import FeatureSpec
from model.ids import IdMap


def open_bundle(path: Path, sealed: bool = True) -> "Bundle":
    """Open a bundle after every digest and the schema match; raises BundleError with the name of the file at fault.

    With `sealed` (what serving uses) the bundle must have passed the index gate too. A link such as `current` is
    followed once, so that an opened bundle stays itself when the link moves on.
    """
    folder = Path(path).resolve()
    return Bundle(folder, verified_manifest(folder, sealed))


class Bundle:
    """A verified bundle; reading is thread-safe, nothing is ever written."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self._arrays: dict[str, NDArray[Any]] = {}
        self._sessions: dict[tuple[str, int, str], Session] = {}
        _check_shapes(self)

    @property
    def people(self) -> "Bundle | None":
        """The bundle of the people themselves, whose items are this one's users; None where nothing links them."""
        if not self.has(f"{PEOPLE}/{MANIFEST}"):
            return None
        return Bundle(self.path / PEOPLE, verified_manifest(self.path / PEOPLE, sealed=True))

    @property
    def spec(self) -> FeatureSpec:
        """The feature spec the graphs were made for."""
        return self.manifest.spec

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.manifest.version

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        ids: dict[str, list[str]] = orjson.loads((self.path / "ids.json").read_bytes())
        return ids

    @cached_property
    def items(self) -> IdMap:
        """Item ids ↔ rows."""
        return IdMap(self._ids["items"])

    @cached_property
    def users(self) -> IdMap:
        """Ids ↔ rows of the users seen in training."""
        return IdMap(self._ids["users"])

    def has(self, name: str) -> bool:
        """Does the bundle hold the file `name`?"""
        return name in self.manifest.files

    def array(self, name: str) -> NDArray[Any]:
        """The array in the file `name`, memory-mapped and read-only; BundleError when the bundle has no such file."""
        if name not in self._arrays:
            if not self.has(name):
                raise BundleError(str(self.path / name), "no file", REMAKE)
            # asarray drops the memmap class, whose every slice costs microseconds, and keeps the mapping
            self._arrays[name] = np.asarray(np.load(self.path / name, mmap_mode="r", allow_pickle=False))
        return self._arrays[name]

    def neighbours(self, name: str) -> Neighbours:
        """The item → item table of the channel `name`."""
        indptr, indices, weights = (
            self.array(f"neighbours/{name}/{one}.npy") for one in ("indptr", "indices", "weights")
        )
        return Neighbours(indptr, indices, weights)

    @cached_property
    def lexicon(self) -> Lexicon | None:
        """The lexical half of text vectors; None for a bundle whose texts are read by the encoder alone."""
        if not self.has(f"{FOLDER}/{FILES[0]}.npy"):
            return None
        return Lexicon(*(self.array(f"{FOLDER}/{name}.npy") for name in FILES))

    def counters(self) -> ItemCounters:
        """A fresh copy of the item counters as of the end of the log; the caller counts on."""
        return ItemCounters.open(self.path / "counters")

    def item_record(self, row: int) -> ItemRecord:
        """What the catalogue told of the item at `row`."""
        return ItemRecord.of_json(self._record("item_features", row))

    def user_record(self, row: int) -> UserRecord:
        """What the users table told of the user at `row`."""
        return UserRecord.of_json(self._record("user_features", row))

    def user_history(self, row: int) -> History:
        """All training events of the user at `row`, oldest first."""
        start, end = self.array("user_features/indptr.npy")[row : row + 2]
        rows, types, values, times = (
            self.array(f"user_features/{name}.npy")[start:end] for name in ("rows", "types", "values", "times")
        )
        told = "user_features/contexts.npy"
        return History.of(rows, types, values, times, self.array(told)[start:end] if self.has(told) else None)

    def fallbacks(self) -> dict[str, Any]:
        """fallbacks.json: popular items, overall, by context value and by scene."""
        found: dict[str, Any] = orjson.loads((self.path / "fallbacks.json").read_bytes())
        return found

    def session(self, name: str, threads: int = 1, device: str = "cpu") -> Session:
        """ONNX Runtime session of the graph `name` (user_tower, item_tower, ranker, text_encoder), opened once."""
        key = (name, threads, device)
        if key not in self._sessions:
            if not self.has(f"{name}.onnx"):
                raise BundleError(str(self.path / f"{name}.onnx"), "no file", REMAKE)
            open_graph = open_ranker if name == "ranker" else open_session
            self._sessions[key] = open_graph(self.path / f"{name}.onnx", threads, device)
        return self._sessions[key]

    @cached_property
    def _blobs(self) -> dict[str, NDArray[np.uint8]]:
        return {}

    def _record(self, folder: str, row: int) -> bytes:
        if row < 0:
            raise IndexError(f"row {row}: rows start at 0")
        if folder not in self._blobs:
            self._blobs[folder] = _mapped_bytes(self.path / folder / "records.bin")
        start, end = self.array(f"{folder}/records_offsets.npy")[row : row + 2]
        return self._blobs[folder][start:end].tobytes()


def _mapped_bytes(path: Path) -> NDArray[np.uint8]:
    if not path.stat().st_size:
        return np.empty(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, mode="r"))


def _check_shapes(bundle: Bundle) -> None:
    """Arrays must have the shape that ids and spec imply: an index and a model of different runs do not mix."""
    spec, items, users = bundle.spec, len(bundle.items), len(bundle.users)
    expected = {
        "item_features/id_index.npy": (items,),
        "item_features/text.npy": (items, spec.text_dim),
        "item_features/attributes.npy": (items, spec.max_attributes),
        "item_features/graph.npy": (items, spec.graph_dim),
        "item_features/vectors.npy": (items, spec.dim),
        "item_features/records_offsets.npy": (items + 1,),
        "user_features/indptr.npy": (users + 1,),
        "user_features/profile.npy": (users, spec.max_profile),
        "user_features/vectors.npy": (users, spec.dim),
        "user_features/records_offsets.npy": (users + 1,),
    }
    for name, shape in expected.items():
        if bundle.has(name) and bundle.array(name).shape != shape:
            found = bundle.array(name).shape
            raise BundleError(str(bundle.path / name), found, f"ids.json and the spec need {shape}; {REMAKE}")
    _check_lexicon(bundle)


def _check_lexicon(bundle: Bundle) -> None:
    """The lexical half must be of this version's terms and fill what the encoder's leaves of the text vector."""
    lexicon = bundle.lexicon
    if lexicon is None:
        return
    found, width = tuple(getattr(lexicon, name).shape for name in FILES), bundle.spec.text_dim
    if found != ((BUCKETS,), (BUCKETS, width - lexicon.centre.size), (lexicon.centre.size,)):
        move = f"{', '.join(FILES)} must be of {BUCKETS} buckets and {width} columns together; {REMAKE}"
        raise BundleError(str(bundle.path / FOLDER), found, move)
