"""The HTTP application over a Service: routes, the one error shape, the OpenAPI document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from app.problems import MEDIA_TYPE, Problem, of_status, unexpected
from app.routes import OPERATIONS
from app.routes.document import document_route
from app.routes.endpoint import Endpoint
from app.service import Service

TITLE = "Polyrank"


def create_app(service: Service, lifespan: bool = True) -> FastAPI:
    """The application; with `lifespan` it starts and stops the service itself (tests, other servers)."""
    app = FastAPI(
        title=TITLE,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(service) if lifespan else None,
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    endpoints = [Endpoint(operation, service) for operation in OPERATIONS]
    app.router.routes += [*endpoints, document_route(TITLE, endpoints, OPERATIONS)]
    app.state.service = service
    return app


class Front:
    """The application with the way to its busiest operations cut short: no layer of the framework is of use to them."""

    def __init__(self, app: FastAPI) -> None:
        self._app, self.state = app, app.state
        endpoints = [one for one in app.router.routes if isinstance(one, Endpoint) and one.address is None]
        self._direct = {(one.operation.method, one.operation.path): one.answer for one in endpoints}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        known = self._direct.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        await (known or self._app)(scope, receive, send)


def _lifespan(service: Service) -> Any:
    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    return run


async def _refused(request: Request, error: Exception) -> Response:
    """The framework's own refusals: no such path (404), no such method there (405)."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request))
    return _response(of_status(error.status_code, headers), request)


async def _failed(request: Request, _: Exception) -> Response:
    return _response(unexpected(), request)


def _response(problem: Problem, request: Request) -> Response:
    body = problem.body(request.scope["path"])
    return Response(body, problem.status, problem.headers, MEDIA_TYPE)


def allowed_methods(request: Request) -> list[str]:
    """Methods that some route has on this path."""
    routes: list[BaseRoute] = request.app.router.routes
    found = (one for one in routes if isinstance(one, Endpoint) and one.matches(request.scope)[0] != Match.NONE)
    return sorted({one.operation.method for one in found})
