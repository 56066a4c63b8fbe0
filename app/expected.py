"""What a request model allows at a place, in words, read off its own JSON schema; and pydantic's errors as ours."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.problems import FieldError, Problem, invalid, malformed, shown
from app.values import ALLOWED

Schema: TypeAlias = Mapping[str, Any]
Place: TypeAlias = Sequence[int | str]
KEY = "[key]"  # pydantic's last step of a place when the key itself is wrong
NAMES = {"integer": "an integer", "number": "a number", "boolean": "true or false", "object": "an object"}


def problem_of(error: ValidationError, model: type[BaseModel]) -> Problem:
    """400 when the bytes are no JSON, else 422 with every field at fault."""
    found = error.errors(include_url=False)
    if found[0]["type"] == "json_invalid":
        reason = str(found[0]["ctx"]["error"])
        return malformed(f"body: found no valid JSON ({reason}); send one JSON text in UTF-8 at most 200 levels deep")
    return invalid([_field_error(one, model) for one in found])


def sentence_of(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing wrong, in one line: how an element of a list is refused."""
    first = _field_error(error.errors(include_url=False)[0], model)
    return f"{first.field}: {first.message}" if first.field else first.message


def _field_error(error: ErrorDetails, model: type[BaseModel]) -> FieldError:
    place, kind = error["loc"], error["type"]
    name, allowed = dotted(place), allowed_at(model, place)
    if kind == "missing":
        return FieldError(name, None, allowed, f"missing; expected {allowed}")
    if kind == "extra_forbidden":
        allowed = f"only the fields {', '.join(fields_at(model, place[:-1]))}"
        return FieldError(name, error["input"], allowed, f"an unknown field; expected {allowed}")
    if kind in ("somebody", "weights"):
        where, _, message = error["msg"].partition(": ")
        return FieldError(where, _given(error["input"], where), message, message)
    if place and place[-1] == KEY:
        return FieldError(name, place[-2], ID_KEY, f"found the key {shown(place[-2])!r}; expected {ID_KEY}")
    return FieldError(name, error["input"], allowed, f"found {shown(error['input'])!r}; expected {allowed}")


ID_KEY = "a key of 1 to 256 bytes of UTF-8 without NUL"


def _given(value: object, name: str) -> object:
    """A field of what was validated, be it still the raw object or the model made of it."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def dotted(place: Place) -> str:
    """`history.3.item_id`."""
    return ".".join(str(part) for part in place if part != KEY)


@cache
def schema_of(model: type[BaseModel]) -> Schema:
    """The JSON schema of a model, made once."""
    return model.model_json_schema()


def allowed_at(model: type[BaseModel], place: Place) -> str:
    """What `model` allows at `place`, in words."""
    root = schema_of(model)
    return in_words(_walk(root, place))


def fields_at(model: type[BaseModel], place: Place) -> list[str]:
    """Names of the fields known at `place`."""
    root = schema_of(model)
    return list(_walk(root, place).get("properties", ()))


def _walk(root: Schema, place: Place) -> Schema:
    at: Schema = root
    for part in place:
        at = _step(_plain(at, root), part)
    return _plain(at, root)


def _step(schema: Schema, part: int | str) -> Schema:
    if isinstance(part, int):
        return dict(schema.get("items") or {})
    found = schema.get("properties", {}).get(part)
    return found or dict(schema.get("additionalProperties") or {})


def _plain(schema: Schema, root: Schema) -> Schema:
    """A schema without its `$ref` and its `| None`."""
    if "$ref" in schema:
        return _plain(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema and ALLOWED not in schema:
        options = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return _plain(options[0], root) if len(options) == 1 else schema
    return schema


def in_words(schema: Schema) -> str:
    """`an integer from 1 to 200`, `one of "item", "user"`, `a list of at most 200 elements` …"""
    if ALLOWED in schema:
        return str(schema[ALLOWED])
    if "enum" in schema:
        return f"one of {', '.join(repr(one) for one in schema['enum'])}"
    kind = schema.get("type")
    if kind == "string":
        return f"a string of at most {schema['maxLength']} characters" if "maxLength" in schema else "a string"
    if kind == "array":
        return f"a list of at most {schema['maxItems']} elements" if "maxItems" in schema else "a list"
    if kind == "object" and "maxProperties" in schema:
        return f"an object of at most {schema['maxProperties']} keys"
    return NAMES.get(str(kind), "a JSON value") + _range(schema)


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    return "" if low is None else f" of at least {low:g}"
