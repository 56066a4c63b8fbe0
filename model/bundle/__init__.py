"""The bundle: the only thing that crosses from offline to online."""

from model.bundle.digests import content_digest, file_digest, write_manifest, write_seal, write_whole
from model.bundle.manifest import MANIFEST, PEOPLE, REPORT, SEAL, DatasetInfo, Manifest, Parity, TextEncoder
from model.bundle.reader import Bundle, open_bundle
from model.bundle.writer import BundleWriter, version_name

__all__ = [
    "MANIFEST",
    "PEOPLE",
    "REPORT",
    "SEAL",
    "Bundle",
    "BundleWriter",
    "DatasetInfo",
    "Manifest",
    "Parity",
    "TextEncoder",
    "content_digest",
    "file_digest",
    "open_bundle",
    "version_name",
    "write_manifest",
    "write_seal",
    "write_whole",
]
