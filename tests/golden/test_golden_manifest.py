"""manifest.json is a contract between releases: it changes only on purpose (UPDATE_GOLDEN=1 writes it anew)."""

import os
import re
from pathlib import Path

from index.build import seal
from model.bundle import MANIFEST, open_bundle
from tests.tiny_bundles import write_tiny

GOLDEN = Path(__file__).with_name("manifest.json")
SHA256 = re.compile(r'"[0-9a-f]{64}"')


def test_the_manifest_of_a_sealed_bundle_is_the_committed_one(tmp_path: Path) -> None:
    """But for digests of files: they hold what versions of FAISS, ONNX and numpy write."""
    path = write_tiny(tmp_path)
    seal(path)
    made = SHA256.sub('"<sha256>"', (path / MANIFEST).read_text()) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(made)
    assert made == GOLDEN.read_text()


def test_the_schema_digest_changes_only_on_purpose(tmp_path: Path) -> None:
    """A new field or default of FeatureSpec makes every sealed bundle a foreign one: bump schema_version with it."""
    schema = open_bundle(write_tiny(tmp_path), sealed=False).manifest.schema_digest
    golden = GOLDEN.with_name("schema_digest.txt")
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(schema + "\n")
    assert schema == golden.read_text().strip()
