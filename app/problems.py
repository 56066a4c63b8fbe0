"""The one shape of every error answer: RFC 9457 problem details, with the fields at fault."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias

import orjson

from model.errors import BundleError, RequestError, StateError, shorten
from model.ids import IdError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
MAX_SHOWN = 120  # characters of a value in an answer
MAX_ERRORS = 20  # fields named in one answer
MAX_EXACT = 2**53  # integers above it change in a client that reads numbers as doubles
Headers: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong: where (`items.3.id`), the value found, what is allowed there, and a sentence."""

    field: str
    value: object
    expected: str
    message: str

    def to_dict(self) -> dict[str, object]:
        """As it is answered; the value is shortened."""
        return {
            "field": self.field,
            "value": shown(self.value),
            "expected": self.expected,
            "message": self.message,
        }


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An answer that is not what was asked for; raised anywhere below a route."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Headers | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.errors, self.headers = tuple(errors), dict(headers or {})

    def body(self, instance: str) -> bytes:
        """The JSON body; `instance` is the path asked for."""
        shape = {
            "type": f"urn:polyrank:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": clipped(instance),
            "errors": [one.to_dict() for one in self.errors[:MAX_ERRORS]],
        }
        return orjson.dumps(shape)


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of deliberate error is answered."""

    status: int
    name: str
    headers: Headers = field(default_factory=dict)


KINDS: Mapping[type[Exception], Kind] = {
    RequestError: Kind(422, "invalid-request"),
    IdError: Kind(422, "invalid-request"),
    BundleError: Kind(409, "bundle-refused"),
    StateError: Kind(503, "state-away", {"Retry-After": str(RETRY_AFTER_S)}),
}


def of_error(error: Exception) -> Problem | None:
    """The problem that answers a deliberate error; None for anything that was not raised on purpose."""
    if isinstance(error, Problem):
        return error
    for known, kind in KINDS.items():
        if isinstance(error, known):
            errors = _named(error) if isinstance(error, RequestError | IdError) else ()
            return Problem(kind.status, kind.name, clipped(str(error), 500), errors, kind.headers)
    return None


def _named(error: RequestError | IdError) -> tuple[FieldError, ...]:
    return (FieldError(error.thing, error.found, error.move, clipped(str(error), 500)),)


def invalid(errors: Sequence[FieldError]) -> Problem:
    """422 for a body or a query that reads well but asks for what is not allowed."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(422, "invalid-request", f"{first.field or 'body'}: {first.message}{more}", errors)


def invalid_field(name: str, value: object, expected: str) -> Problem:
    """422 about one field."""
    return invalid([FieldError(name, value, expected, f"found {_quoted(value)}; expected {expected}")])


def malformed(
    detail: str, field: str = "body", value: object = None, expected: str = "a JSON text in UTF-8"
) -> Problem:
    """400: the bytes are no JSON, or the path is no text."""
    return Problem(400, "malformed", detail, [FieldError(field, value, expected, detail)])


def not_found(thing: str, value: str) -> Problem:
    """404 for a thing that is not there."""
    message = f"no such {thing}"
    error = FieldError(thing, value, f"a known {thing}", message)
    return Problem(404, "not-found", f"{thing}: found {_quoted(value)}; {message}", [error])


def too_large(found: int | None, limit: int) -> Problem:
    """413; `found` is the declared length, None when the body was cut off while it came in."""
    value = "more" if found is None else found
    error = FieldError("body", value, f"at most {limit} bytes", "the body is too large; send it in parts")
    return Problem(413, "too-large", f"body: found {value} bytes; at most {limit} are read", [error])


def unsupported(header: str, value: str | None, expected: str) -> Problem:
    """415: a body in a form that is not read."""
    message = f"found {_quoted(value)}; send {expected}"
    return Problem(
        415, "unsupported-media-type", f"{header}: {message}", [FieldError(header, value, expected, message)]
    )


def unavailable(detail: str) -> Problem:
    """503 with Retry-After."""
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def of_status(status: int, headers: Headers | None = None) -> Problem:
    """The framework's own refusals (404, 405 …) in the one shape."""
    phrase = HTTPStatus(status)
    return Problem(status, phrase.phrase.lower().replace(" ", "-"), phrase.description or phrase.phrase, (), headers)


def unexpected() -> Problem:
    """500: a fault of ours; the log has the traceback, the answer does not."""
    return Problem(500, "internal", "an unexpected fault; the service's log has the details")


def shown(value: Any) -> object:
    """A value as a problem shows it: itself when it is short and plain JSON, else its shortened form as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < MAX_EXACT:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return clipped(value if isinstance(value, str) else _quoted(value))


def clipped(text: str, limit: int = MAX_SHOWN) -> str:
    """Text cut to `limit` characters, without what UTF-8 cannot carry."""
    safe = text[: limit + 1].encode("utf-8", "replace").decode()
    return safe if len(safe) <= limit else f"{safe[: limit - 1]}…"


def _quoted(value: object) -> str:
    """`repr`, shortened; the size alone for what would take long to write out."""
    if isinstance(value, int) and abs(value) >= MAX_EXACT:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str | bytes):
        return shorten(value[: 2 * MAX_SHOWN])
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"an object with {len(value)} keys" if isinstance(value, dict) else shorten(value)
