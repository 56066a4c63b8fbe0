"""The OpenAPI document: FastAPI's, plus the one error shape, the key, and examples of answers."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import orjson
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.problems import MEDIA_TYPE
from app.routes.endpoint import Operation

PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457 problem details; every error answer has this shape.",
    "required": ["type", "title", "status", "detail", "instance", "errors"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:polyrank:problem:invalid-request"]},
        "title": {"type": "string", "examples": ["Unprocessable Entity"]},
        "status": {"type": "integer", "examples": [422]},
        "detail": {"type": "string", "examples": ["n: found 0; expected an integer from 1 to 200"]},
        "instance": {"type": "string", "description": "the path asked for", "examples": ["/recommend"]},
        "errors": {
            "type": "array",
            "description": "what is wrong, field by field",
            "items": {
                "type": "object",
                "required": ["field", "value", "expected", "message"],
                "properties": {
                    "field": {"type": "string", "examples": ["n"]},
                    "value": {"description": "what was found, shortened", "examples": [0]},
                    "expected": {"type": "string", "examples": ["an integer from 1 to 200"]},
                    "message": {"type": "string", "examples": ["found 0; expected an integer from 1 to 200"]},
                },
            },
        },
    },
}
KEY = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
DESCRIPTION = (
    "Recommendations from one multi-task model. Ids are opaque strings of 1 to 256 bytes and may hold any character, "
    "`/` included; in a path, an id that ends in `/similar` or `/export` is written with that slash as `%2F`."
)
REFUSED = {
    "description": "Refused; the problem says why.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def document(title: str, routes: Sequence[Any], operations: Sequence[Operation[Any]]) -> dict[str, Any]:
    """The whole document."""
    made = get_openapi(title=title, version=version("polyrank"), routes=routes, description=DESCRIPTION)
    schemas = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM
    made["components"]["securitySchemes"] = {"key": KEY}
    for one in operations:
        _finish(made["paths"][one.path][one.method.lower()], one)
    return made


def _finish(shape: dict[str, Any], operation: Operation[Any]) -> None:
    """What FastAPI cannot know of an operation: its errors, its roles, an example of its answer."""
    responses = shape["responses"]
    responses.pop("422", None)
    responses["default"] = REFUSED
    if operation.answers is None:
        responses["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif operation.example is not None:
        responses[str(operation.status)]["content"]["application/json"]["example"] = operation.example
    if operation.roles is not None:
        shape["security"] = [{"key": []}]
        shape["description"] += f" Roles: {', '.join(sorted(operation.roles))}."


def document_route(title: str, routes: Sequence[Any], operations: Sequence[Operation[Any]]) -> Route:
    """GET /openapi.json, made when first asked for."""
    made: list[bytes] = []

    async def show(_: Request) -> Response:
        if not made:
            made.append(orjson.dumps(document(title, routes, operations), option=orjson.OPT_INDENT_2))
        return Response(made[0], media_type="application/json")

    return Route("/openapi.json", show, methods=["GET"], include_in_schema=False)
