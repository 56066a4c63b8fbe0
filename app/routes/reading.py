"""Reading a request: the body as bytes under a limit, the query, and ids that may hold a slash."""

import asyncio
import re
from urllib.parse import unquote_to_bytes

from starlette.types import Receive, Scope

from app.problems import Problem, malformed, too_large, unsupported
from app.settings import Settings

JSON_TYPE = re.compile(rb"application/(?:[\w.+-]+\+)?json\s*(?:;\s*charset\s*=\s*\"?utf-?8\"?\s*)?", re.IGNORECASE)
BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
MAX_QUERY = 4096


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


async def read_json_body(scope: Scope, receive: Receive, settings: Settings) -> bytes:
    """The whole body; raises Problem 415, 413, 408 before more than the limit is held."""
    check_body_headers(scope, settings.max_body_bytes)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        return _within(message.get("body", b""), settings.max_body_bytes)
    try:
        async with asyncio.timeout(settings.read_timeout_s):
            return await _rest(message.get("body", b""), receive, settings.max_body_bytes)
    except TimeoutError:
        raise Problem(408, "request-timeout", "body: it did not arrive in time; send it again") from None


def check_body_headers(scope: Scope, limit: int) -> None:
    """Refuse a body by what its headers say of it."""
    kind = header(scope, b"content-type")
    if kind is None or not JSON_TYPE.fullmatch(kind.strip()):
        raise unsupported("Content-Type", _text(kind), "application/json (in UTF-8)")
    coding = header(scope, b"content-encoding")
    if coding is not None and coding.strip().lower() != b"identity":
        raise unsupported("Content-Encoding", _text(coding), "the body uncompressed")
    length = header(scope, b"content-length")
    if length is not None and length.isdigit() and len(length) < 20 and int(length) > limit:
        raise too_large(int(length), limit)


async def _rest(start: bytes, receive: Receive, limit: int) -> bytes:
    parts, size, more = [start], len(start), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise malformed("body: the connection closed before its end")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_large(None, limit)
        more = message.get("more_body", False)
    return b"".join(parts)


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise too_large(len(body), limit)
    return body


def read_query(scope: Scope) -> dict[str, str]:
    """The query's parameters; of one given twice the last counts."""
    raw = bytes(scope.get("query_string", b""))
    if len(raw) > MAX_QUERY:
        raise malformed(f"query: found {len(raw)} bytes; send at most {MAX_QUERY}", "query", None, "a short query")
    parts = (part.partition(b"=") for part in raw.replace(b"+", b" ").split(b"&") if part)
    return {decoded(name, "query"): decoded(value, "query") for name, _, value in parts}


def decoded(raw: bytes, what: str) -> str:
    """Text of a percent-encoded part of the URL; raises Problem 400 when it is none."""
    if BROKEN_ESCAPE.search(raw):
        raise malformed(f"{what}: found a '%' without two hex digits; escape it as %25", what, _text(raw), "valid %XX")
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        expected = "UTF-8, percent-encoded"
        move = f"{what}: found bytes that are not UTF-8; percent-encode UTF-8"
        raise malformed(move, what, _text(raw), expected) from None


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("latin-1")
