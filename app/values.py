"""The kinds of values that requests are made of: ids, scalars, times, ranges; each knows what it allows, in words."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from model.features.spec import Value
from model.ids import MAX_ID_BYTES, IdError, check_id

MAX_TEXT = 20_000  # characters of one text field
MAX_WORD = 1_000  # characters of one attribute or context value
LARGEST = 1e300  # absolute value of a number
FUTURE_S = 3600.0  # how far ahead a client's clock may be
ALLOWED = "x-allowed"  # JSON schema key: what is allowed here, in words


def _id(value: str) -> str:
    try:
        return check_id(value)
    except IdError as error:
        raise PydanticCustomError("id", "{move}", {"move": error.move}) from None


def _scalar(value: Any) -> Value:
    if isinstance(value, bool) or (isinstance(value, str) and len(value) <= MAX_WORD):
        return value
    if isinstance(value, int | float) and abs(value) < LARGEST:
        return float(value)
    raise PydanticCustomError("scalar", "give a string, a finite number or a boolean")


def _scalars(value: Any) -> Value | tuple[Value, ...]:
    if not isinstance(value, list | tuple):
        return _scalar(value)
    if len(value) > MAX_WORD:
        raise PydanticCustomError("scalar", "give at most {limit} values", {"limit": MAX_WORD})
    return tuple(_scalar(one) for one in value)


def _wanted(value: Any) -> Value | dict[str, float]:
    """One wanted value of a filter: a scalar, or for numeric attributes a range."""
    if not isinstance(value, dict):
        return _scalar(value)
    if not value or not value.keys() <= {"min", "max"} or not all(map(_is_number, value.values())):
        raise PydanticCustomError("scalar", "give a range of two numbers, min and max, or of one of them")
    return {name: float(bound) for name, bound in value.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _moment(value: Any) -> float:
    """Epoch seconds of a number or an ISO-8601 string (UTC when it names no offset)."""
    seconds = _iso(value) if isinstance(value, str) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise PydanticCustomError("moment", "give epoch seconds or an ISO-8601 string")
    if not 0 <= seconds <= time.time() + FUTURE_S:
        raise PydanticCustomError("moment", "give a time between 1970 and an hour from now, in seconds")
    return float(seconds)


def _iso(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _words(kind: object, allowed: str, **more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, ALLOWED: allowed, **more})


SCALAR = "a string of at most 1000 characters, a finite number or a boolean"
Id: TypeAlias = Annotated[
    str,
    AfterValidator(_id),
    _words(
        "string", f"a string of 1 to {MAX_ID_BYTES} bytes of UTF-8 without NUL", minLength=1, maxLength=MAX_ID_BYTES
    ),
]
Scalar: TypeAlias = Annotated[Value, PlainValidator(_scalar), _words(["string", "number", "boolean"], SCALAR)]
Values: TypeAlias = Annotated[
    Value | tuple[Value, ...],
    PlainValidator(_scalars),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
            ],
            ALLOWED: f"{SCALAR}, or a list of them",
        }
    ),
]
RANGE = {"type": "object", "properties": {"min": {"type": "number"}, "max": {"type": "number"}}}
Wanted: TypeAlias = Annotated[
    Value | dict[str, float],
    PlainValidator(_wanted),
    WithJsonSchema(
        {
            "anyOf": [{"type": ["string", "number", "boolean"]}, RANGE],
            ALLOWED: f'{SCALAR}; for numeric attributes also {{"min": number, "max": number}}',
        }
    ),
]
Moment: TypeAlias = Annotated[
    float,
    PlainValidator(_moment),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "number", "minimum": 0}],
            ALLOWED: "epoch seconds or an ISO-8601 string, from 1970 to an hour from now",
        }
    ),
]
Text: TypeAlias = Annotated[str, Field(max_length=MAX_TEXT)]
Number: TypeAlias = Annotated[float, Field(ge=-1e30, le=1e30)]
Weight: TypeAlias = Annotated[float, Field(ge=0, le=1e6)]
Context: TypeAlias = Annotated[dict[Id, Scalar], Field(max_length=100)]
Choice: TypeAlias = Annotated[dict[Id, Annotated[list[Wanted], Field(max_length=1000)]], Field(max_length=50)]
