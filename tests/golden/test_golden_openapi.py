"""The OpenAPI document is a promise to clients: it changes only on purpose (UPDATE_GOLDEN=1 writes it anew)."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from app.routes import OPERATIONS
from app.routes.endpoint import Operation
from tests.serving import serving

GOLDEN = Path(__file__).with_name("openapi.json")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    with serving() as client:
        answer = client.get("/openapi.json")
        assert client.get("/openapi.json").content == answer.content
    found: dict[str, Any] = answer.json()
    return found


def without_version(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"info": document["info"] | {"version": "any"}}


def test_the_document_is_the_committed_one(document: dict[str, Any]) -> None:
    made = json.dumps(without_version(document), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(made)
    assert made == GOLDEN.read_text()


def test_every_operation_is_documented_with_its_errors_and_its_key(document: dict[str, Any]) -> None:
    documented = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert documented == {(one.path, one.method.lower()) for one in OPERATIONS}
    for one in OPERATIONS:
        shape = document["paths"][one.path][one.method.lower()]
        assert shape["summary"] == one.summary
        assert "application/problem+json" in shape["responses"]["default"]["content"]
        assert ("security" in shape) is (one.roles is not None)
        assert "422" not in shape["responses"]


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.examples], ids=lambda one: str(one.summary))
def test_examples_of_requests_are_valid(operation: Operation[Any]) -> None:
    adapter = TypeAdapter(operation.body or operation.takes)
    for example in operation.examples.values():
        assert adapter.validate_json(json.dumps(example)) is not None


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.example], ids=lambda one: str(one.summary))
def test_examples_of_answers_are_valid(operation: Operation[Any]) -> None:
    assert operation.answers is not None
    assert operation.answers.model_validate(operation.example).model_dump(exclude_unset=True) == operation.example


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    for name in [part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]]:
        assert name in schemas
