"""One serving process: a service, its HTTP server on a socket of its own, a graceful end."""

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.balance import Balance
from app.bootstrap import build_service
from app.logs import set_up
from app.main import Front, create_app
from app.metrics import SHARED
from app.problems import MEDIA_TYPE, malformed
from app.service import Service
from app.settings import Settings
from app.sockets import REFUSED, address_of, bound_socket
from app.state.redis_store import open_store
from model.errors import PolyrankError

BACKLOG = 2048
KEEP_ALIVE_S = 75  # longer than load balancers keep idle connections, so that it is they who close them
STOP_S = 5.0  # beyond the drain, for writing what is left
YOUNG = 20_000  # new objects before the collector looks: a request makes a thousand, and hardly any cycle
MAX_HEAD = 64 << 10  # bytes of a request's URL and headers

logger = logging.getLogger("polyrank.worker")


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a limit on headers, with our error shape for what is no HTTP, and balanced."""

    balance: Balance | None = None
    _head = 0

    def on_message_begin(self) -> None:
        """A new request begins."""
        self._head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Part of the URL."""
        self._take(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._take(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request's head is whole: its answer may be the last one of this connection."""
        super().on_headers_complete()
        if self.balance is not None and self.cycle is not None and self.balance.sheds():
            self.cycle.keep_alive = False

    def _take(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            raise ValueError("the head of a request is too large")  # the parser turns it into a refusal

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, and close."""
        move = f"request: {msg} Send valid HTTP/1.1 with at most {MAX_HEAD} bytes of URL and headers"
        body = malformed(move, "request", None, "valid HTTP/1.1").body("")
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()


def configured(service: Service) -> uvicorn.Config:
    """How uvicorn runs the application."""
    settings = service.settings
    return uvicorn.Config(
        Front(create_app(service, lifespan=False)),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=settings.access_log,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )


async def serve(
    settings: Settings, sock: socket.socket, orphaned: int | None = None, balance: Balance | None = None
) -> None:
    """Serve until SIGTERM; with `orphaned`, a descriptor that ends when the parent does, until then too."""
    assert settings.redis_url is not None
    store = open_store(settings.redis_url.get_secret_value(), settings.state_timeout_ms / 1000)
    service = build_service(settings, store)
    try:
        await service.start()
        server = uvicorn.Server(configured(service))
        if orphaned is not None:
            asyncio.get_running_loop().add_reader(orphaned, _end, server, orphaned)
        logger.info("process %d answers on %s", os.getpid(), address_of(sock))
        Protocol.balance = balance
        settle()
        await _balanced(server, balance, server.serve([sock]))
    finally:
        await stopped(service)


def settle() -> None:
    """What is there now stays: the collector looks at it no more, and at what is new less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)


async def _balanced(server: uvicorn.Server, balance: Balance | None, serving: Coroutine[Any, Any, None]) -> None:
    """Serve, and keep this worker's connections in balance with the others'."""
    if balance is None:
        return await serving
    following = asyncio.create_task(balance.follow(lambda: server.server_state.connections), name="balance")
    try:
        await serving
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def stopped(service: Service) -> None:
    """Stop the service, but do not wait for ever: whatever hangs must not keep the process alive."""
    try:
        async with asyncio.timeout(service.settings.drain_s + STOP_S):
            await service.stop()
    except TimeoutError:
        logger.error("the service did not stop in time and is left as it is")


def _end(server: uvicorn.Server, orphaned: int) -> None:
    asyncio.get_running_loop().remove_reader(orphaned)
    server.should_exit = True


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def main() -> int:
    """A worker that `polyrank serve` started: settings and port come with the environment, its place as argument."""
    settings, place = Settings.from_env(), int(sys.argv[1])
    set_up(settings.log_level)
    try:
        balance = Balance.of(os.environ.get(SHARED), place, settings.workers)
        with suppress(KeyboardInterrupt):
            run(serve(settings, bound_socket(settings.host, settings.port), sys.stdin.fileno(), balance))
    except PolyrankError as error:
        sys.stderr.write(f"polyrank: {error}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
