"""One operation of the HTTP surface as a route: who may, what it reads, what it answers; no framework magic between.

FastAPI writes the OpenAPI document from the models; the request itself goes straight from bytes to the model and from
the answer to bytes (validation by pydantic, writing by orjson), since the framework's own path costs more than reading
a user's state.
"""

import inspect
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar
from urllib.parse import quote

import orjson
from fastapi import Body, Path, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from app.expected import problem_of
from app.problems import MEDIA_TYPE, of_error, unexpected
from app.routes.reading import decoded, read_json_body, read_query
from app.settings import Role
from app.values import Id
from app.wire import Nothing
from model.ids import check_id

if TYPE_CHECKING:
    from app.service import Service

B = TypeVar("B", bound=BaseModel)
JSON = b"application/json"
SUFFIXES = {b"/items/": (b"/similar",), b"/users/": (b"/similar", b"/export")}

logger = logging.getLogger("polyrank.http")


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: a status, bytes, and headers besides Content-Type and Content-Length."""

    body: bytes
    status: int = 200
    media_type: bytes = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def reply(answer: object, status: int = 200) -> Reply:
    """A JSON reply of plain data or an answer model."""
    return Reply(orjson.dumps(answer.model_dump() if isinstance(answer, BaseModel) else answer), status)


@dataclass(frozen=True, slots=True)
class Call(Generic[B]):
    """One request as a handler sees it: the service, the validated body or query, the id in the path ("": none)."""

    service: "Service"
    asked: B
    id: str
    body: bytes


@dataclass(frozen=True)
class Operation(Generic[B]):
    """One method on one path. `path` ends in `/{name}` or `/{name}/suffix` when it addresses something by id.

    `roles` None: open to everyone. `takes` is read from the body of PUT, POST and PATCH, else from the query; `raw`
    leaves that to the handler; `body` documents a body that is more than `takes`. `example` is one of the answer.
    """

    method: str
    path: str
    handle: Callable[[Call[B]], Awaitable[Reply]]
    takes: type[B]
    answers: type[BaseModel] | None
    roles: frozenset[Role] | None
    summary: str
    status: int = 200
    raw: bool = False
    body: Any = None
    examples: Mapping[str, Any] = field(default_factory=dict)
    example: Any = None

    @property
    def reads_body(self) -> bool:
        """Whether the request has a body to read."""
        return self.method in ("PUT", "POST", "PATCH") and self.takes is not Nothing

    @property
    def tag(self) -> str:
        """First word of the path: how the document groups operations."""
        return re.split(r"\W", self.path.lstrip("/"))[0]


class Endpoint(APIRoute, Generic[B]):
    """The route of one operation."""

    def __init__(self, operation: Operation[B], service: "Service") -> None:
        self.operation, self.service = operation, service
        self.address = Address.of(operation.path)
        super().__init__(
            re.sub(r"\{(\w+)\}", r"{\1:path}", operation.path),
            documented(operation),
            methods=[operation.method],
            status_code=operation.status,
            response_model=operation.answers,
            summary=operation.summary,
            tags=[operation.tag],
            name=operation.handle.__name__,
            operation_id=operation.handle.__name__,
        )
        self.app = self.answer

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette's match, by the path as it was sent, so that an id may hold `/` and any other character."""
        if self.address is None or scope["type"] != "http":
            return super().matches(scope)
        raw_id = self.address.raw_id(raw_path(scope))
        if raw_id is None:
            return Match.NONE, {}
        found = Match.FULL if scope["method"] == self.operation.method else Match.PARTIAL
        return found, {"endpoint": self.endpoint, "path_params": {"raw_id": raw_id}, "route": self}

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong becomes a problem, and is counted like any other answer."""
        start = time.perf_counter()
        try:
            made = await self._made(scope, receive)
        except Exception as error:
            made = problem_reply(error, scope)
        await send_reply(made, send)
        metrics = self.service.metrics
        metrics.request(self.operation.path, self.operation.method, made.status, time.perf_counter() - start)

    async def _made(self, scope: Scope, receive: Receive) -> Reply:
        operation = self.operation
        if operation.roles is not None:
            self.service.keys.check(scope, operation.roles)
        name = self._id(scope) if self.address else ""
        body = await read_json_body(scope, receive, self.service.settings) if operation.reads_body else b""
        return await operation.handle(Call(self.service, self._asked(scope, body), name, body))

    def _id(self, scope: Scope) -> str:
        assert self.address is not None
        return check_id(decoded(scope["path_params"]["raw_id"], self.address.name), self.address.name)

    def _asked(self, scope: Scope, body: bytes) -> B:
        takes = self.operation.takes
        try:
            if self.operation.raw:
                return takes.model_construct()
            if self.operation.reads_body:
                return takes.model_validate_json(body)
            return takes.model_validate(read_query(scope))
        except ValidationError as error:
            raise problem_of(error, takes) from None


@dataclass(frozen=True, slots=True)
class Address:
    """A path that ends in an id, or in an id and a suffix: `prefix` id `suffix`.

    An id may hold slashes, written raw or as %2F. A suffix counts only when its slash is written raw and an id stands
    before it: /items/a/similar asks what is similar to `a`, /items/a%2Fsimilar is the item `a/similar`.
    """

    prefix: bytes
    name: str
    suffix: bytes

    @classmethod
    def of(cls, path: str) -> "Address | None":
        """The address in a path template, None when it has no id."""
        before, brace, rest = path.partition("{")
        if not brace:
            return None
        name, _, suffix = rest.partition("}")
        return cls(before.encode(), name, suffix.encode())

    def raw_id(self, path: bytes) -> bytes | None:
        """The id's bytes as sent; None when the path is another address."""
        if not path.startswith(self.prefix) or len(path) == len(self.prefix):
            return None
        rest = path[len(self.prefix) :]
        found = next((one for one in self._suffixes() if rest.endswith(one) and len(rest) > len(one)), b"")
        return rest.removesuffix(found) if found == self.suffix else None

    def _suffixes(self) -> tuple[bytes, ...]:
        return SUFFIXES.get(self.prefix, (self.suffix,) if self.suffix else ())


def raw_path(scope: Scope) -> bytes:
    """The path as it was sent, below where the application is mounted."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    return bytes(raw).removeprefix(scope.get("root_path", "").encode())


def problem_reply(error: Exception, scope: Scope) -> Reply:
    """The reply to anything that was raised; what was not meant to be is logged and answered as 500."""
    problem = of_error(error)
    if problem is None:
        logger.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
        problem = unexpected()
    return Reply(problem.body(scope["path"]), problem.status, MEDIA_TYPE.encode(), problem.headers)


async def send_reply(made: Reply, send: Send) -> None:
    """Send a reply."""
    headers = [(b"content-type", made.media_type), (b"content-length", b"%d" % len(made.body))]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in made.headers.items()]
    await send({"type": "http.response.start", "status": made.status, "headers": headers})
    await send({"type": "http.response.body", "body": made.body})


def documented(operation: Operation[Any]) -> Callable[..., None]:
    """A function whose signature tells FastAPI what to write into the OpenAPI document; it is never called."""

    def endpoint() -> None:
        raise AssertionError("Endpoint.answer answers")

    endpoint.__signature__ = inspect.Signature(_parameters(operation))  # type: ignore[attr-defined] # functions take it
    endpoint.__doc__, endpoint.__name__ = operation.handle.__doc__, operation.handle.__name__
    return endpoint


def _parameters(operation: Operation[Any]) -> list[inspect.Parameter]:
    address = Address.of(operation.path)
    found = [_parameter(address.name, Annotated[Id, Path()])] if address else []
    if operation.reads_body:
        examples = {name: {"value": value} for name, value in operation.examples.items()}
        body = Body(openapi_examples=examples)  # type: ignore[arg-type] # a TypedDict there
        found.append(_parameter("body", Annotated[operation.body or operation.takes, body]))
    elif operation.takes is not Nothing:
        found.append(_parameter("query", Annotated[operation.takes, Query()]))
    return found


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
