"""manifest.json: what a bundle is, what it was made from, and the digest of every file in it."""

from typing import Any, Literal

from pydantic import Field, JsonValue

from model.features.calibration import Calibration
from model.features.spec import FeatureSpec, Frozen

MANIFEST, SEAL, REPORT = "manifest.json", "SEAL", "report.html"
PEOPLE = "people"  # folder of the bundle of people in a bundle whose recipe links its users


class DatasetInfo(Frozen):
    """The data a bundle was trained on."""

    rows: int
    users: int
    items: int
    fingerprint: str


class Parity(Frozen):
    """How far an exported graph is from the torch module it came from, over `cases` inputs."""

    max_abs_error: float
    tolerance: float
    cases: int


class TextEncoder(Frozen):
    """The text encoder a bundle carries; `digest` is that of text_encoder.onnx or of its source weights."""

    name: str
    digest: str
    max_tokens: int = Field(ge=1)


class Manifest(Frozen):
    """manifest.json; `files` and `content_digest` are filled when it is written."""

    format: Literal[1] = 1
    version: str
    created: str  # ISO-8601, UTC
    recipe: dict[str, JsonValue]
    spec: FeatureSpec
    schema_digest: str
    dataset: DatasetInfo
    calibration: dict[str, Calibration]
    metrics: dict[str, Any] = Field(default_factory=dict)  # "minutes" in it are times: not part of the content
    parity: dict[str, Parity] = Field(default_factory=dict)
    gates: dict[str, Any] = Field(default_factory=dict)
    text_encoder: TextEncoder
    content_digest: str = ""
    files: dict[str, str] = Field(default_factory=dict)  # relative path → sha256
