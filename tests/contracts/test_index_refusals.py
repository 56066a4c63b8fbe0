"""A bundle is opened whole or refused by the name of the file at fault: any file, any byte."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from index.build import seal
from model.bundle import MANIFEST, SEAL, open_bundle, write_manifest, write_seal
from model.errors import BundleError
from tests.tiny_bundles import tiny_manifest, write_tiny


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_tiny(tmp_path_factory.mktemp("bundles"))
    seal(path)
    return path


@contextmanager
def altered(path: Path, data: bytes | None) -> Iterator[None]:
    """`path` with other content, or absent, for a while."""
    before = path.read_bytes()
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


def every_file(bundle: Path) -> list[Path]:
    return sorted(path for path in bundle.rglob("*") if path.is_file())


def test_a_sealed_bundle_opens(sealed: Path) -> None:
    assert open_bundle(sealed).version == "v1"


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("bit", [1, 128])
def test_one_flipped_bit_in_any_file_is_refused_by_its_name(sealed: Path, place: float, bit: int) -> None:
    files = every_file(sealed)
    assert len(files) > 30
    for path in files:
        data = bytearray(path.read_bytes())
        data[round(place * (len(data) - 1))] ^= bit
        with altered(path, bytes(data)), pytest.raises(BundleError) as refusal:
            open_bundle(sealed)
        assert path.name in str(refusal.value), path


def test_any_missing_file_is_refused_by_its_name(sealed: Path) -> None:
    for path in every_file(sealed):
        with altered(path, None), pytest.raises(BundleError) as refusal:
            open_bundle(sealed)
        assert path.name in str(refusal.value), path


def test_any_cut_file_is_refused_by_its_name(sealed: Path) -> None:
    for path in every_file(sealed):
        with altered(path, path.read_bytes()[:-1]), pytest.raises(BundleError) as refusal:
            open_bundle(sealed)
        assert path.name in str(refusal.value), path


def test_an_extra_file_is_refused_by_its_name(sealed: Path) -> None:
    extra = sealed / "graph" / "extra.npy"
    extra.parent.mkdir()
    extra.write_bytes(b"x")
    with pytest.raises(BundleError, match=r"graph/extra.npy: found 'a file the manifest does not list'"):
        open_bundle(sealed)
    extra.unlink()


def test_a_link_in_place_of_a_file_is_refused(sealed: Path, tmp_path: Path) -> None:
    victim = sealed / "ids.json"
    elsewhere = tmp_path / "ids.json"
    elsewhere.write_bytes(victim.read_bytes())
    victim.unlink()
    victim.symlink_to(elsewhere)
    with pytest.raises(BundleError, match=r"ids.json: found 'a link'"):
        open_bundle(sealed)
    victim.unlink()
    victim.write_bytes(elsewhere.read_bytes())


def test_an_unsealed_bundle_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"SEAL: found None; the bundle is not sealed; seal it with `polyrank index"):
        open_bundle(write_tiny(tmp_path))


def test_no_folder_at_all_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere/manifest.json: found 'No such file or directory'; give the path"):
        open_bundle(tmp_path / "nowhere")


def resealed(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Change the manifest of a bundle and seal it as if nothing had happened."""
    manifest = orjson.loads((path / MANIFEST).read_bytes())
    change(manifest)
    (path / MANIFEST).write_bytes(orjson.dumps(manifest))
    write_seal(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it.update(schema_digest="00"), "manifest.json, schema_digest: found '00'; the spec in it reads as"),
        (lambda it: it["spec"].update(dim=9), "manifest.json, schema_digest: found .* made by another version"),
        (lambda it: it["spec"].update(wings=2), "manifest.json, spec.wings: found 2; Extra inputs are not permitted"),
        (lambda it: it.update(format=2), "manifest.json, format: found 2; Input should be 1"),
        (lambda it: it.update(content_digest="00"), "manifest.json, content_digest: found '00'"),
        (lambda it: it["files"].update({"../x": "00"}), "manifest.json, content_digest"),
    ],
)
def test_a_foreign_manifest_is_refused_though_its_seal_fits(
    tmp_path: Path, change: Callable[[dict[str, object]], None], message: str
) -> None:
    path = write_tiny(tmp_path)
    seal(path)
    resealed(path, change)
    with pytest.raises(BundleError, match=message):
        open_bundle(path)


@pytest.mark.parametrize("name", ["ranker.onnx", "text_encoder.onnx", "tokenizer.json", "items.faiss", "ids.json"])
def test_a_bundle_must_hold_what_serving_needs(tmp_path: Path, name: str) -> None:
    path = write_tiny(tmp_path)
    seal(path)
    (path / name).unlink()
    write_manifest(path, tiny_manifest())
    write_seal(path)
    with pytest.raises(BundleError, match=f"{name}: found 'no file'"):
        open_bundle(path)


def test_a_manifest_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    (path / MANIFEST).write_bytes(b"\xff\x00")
    with pytest.raises(BundleError, match=r"manifest.json: found .*it is not JSON"):
        open_bundle(path, sealed=False)
    (path / SEAL).write_bytes(b"\xff")
    with pytest.raises(BundleError, match=r"SEAL: found .* manifest.json has .*, one is altered"):
        open_bundle(path)
