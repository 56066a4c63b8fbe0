"""Is this folder a whole, unaltered bundle of this schema? Every refusal names the file."""

import hashlib
from pathlib import Path

import orjson
from pydantic import ValidationError

from model.bundle.digests import TEMPORARY, content_digest, file_digest, listed_files
from model.bundle.manifest import MANIFEST, SEAL, Manifest
from model.errors import BundleError

REMAKE = "restore the bundle or make a new one (`polyrank train`, `polyrank index`)"
GRAPHS = ("user_tower.onnx", "item_tower.onnx", "ranker.onnx")
TEXT = ("text_encoder.onnx", "tokenizer.json")
# What the index step makes of the rest: before the seal it is not looked at, so that a seal cut short can be redone.
INDEXED = (
    "items.faiss",
    "users.faiss",
    "item_features/vectors.npy",
    "user_features/vectors.npy",
    "filters/names.json",
)


def verified_manifest(folder: Path, sealed: bool) -> Manifest:
    """Manifest of a folder whose seal (when `sealed`), schema and every file match; raises BundleError by file name."""
    data = _read(folder / MANIFEST)
    if sealed:
        _check_seal(folder, data)
    manifest = _parsed(folder, data)
    _check_schema(folder, manifest)
    present = set(listed_files(folder))
    if not sealed:
        present = {name for name in present if not is_unfinished(name)}
        files = {name: digest for name, digest in manifest.files.items() if not is_unfinished(name)}
        manifest = manifest.model_copy(update={"files": files})
    _check_files(folder, manifest, present)
    _check_required(folder, manifest, sealed)
    return manifest


def is_unfinished(name: str) -> bool:
    """Is this a file that the index step writes, or a leftover of one it was writing?"""
    return name in INDEXED or name.startswith("filters/") or name.rpartition("/")[2].startswith(TEMPORARY)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(str(path), error.strerror, "give the path of a bundle folder") from None


def _check_seal(folder: Path, manifest: bytes) -> None:
    path = folder / SEAL
    if not path.is_file():
        raise BundleError(str(path), None, "the bundle is not sealed; seal it with `polyrank index BUNDLE`")
    seal, digest = path.read_bytes(), hashlib.sha256(manifest).hexdigest()
    if seal != digest.encode():
        raise BundleError(
            str(path), seal.decode("ascii", "replace"), f"{MANIFEST} has {digest}, one is altered; {REMAKE}"
        )


def _parsed(folder: Path, data: bytes) -> Manifest:
    try:
        return Manifest.model_validate(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise BundleError(str(folder / MANIFEST), str(error), f"it is not JSON; {REMAKE}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{folder / MANIFEST}, {where}", first["input"], f"{first['msg']}; {REMAKE}") from None


def _check_schema(folder: Path, manifest: Manifest) -> None:
    ours = manifest.spec.digest()
    if manifest.schema_digest != ours:
        move = f"the spec in it reads as {ours} here: made by another version of Polyrank? {REMAKE}"
        raise BundleError(f"{folder / MANIFEST}, schema_digest", manifest.schema_digest, move)
    if manifest.content_digest != content_digest(manifest):
        raise BundleError(f"{folder / MANIFEST}, content_digest", manifest.content_digest, REMAKE)


def _check_files(folder: Path, manifest: Manifest, present: set[str]) -> None:
    for name in sorted(present ^ manifest.files.keys()):
        if name in present:
            raise BundleError(str(folder / name), "a file the manifest does not list", f"remove it, or {REMAKE}")
        raise BundleError(str(folder / name), "no file", REMAKE)
    for name, digest in manifest.files.items():
        path = folder / name
        found = "a link" if path.is_symlink() else file_digest(path)
        if found != digest:
            raise BundleError(str(path), found, f"the manifest has sha256 {digest}; {REMAKE}")


def _check_required(folder: Path, manifest: Manifest, sealed: bool) -> None:
    for name in (*GRAPHS, *(TEXT if manifest.spec.text_fields else ()), *(INDEXED if sealed else ()), "ids.json"):
        if name not in manifest.files:
            raise BundleError(str(folder / name), "no file", REMAKE)
