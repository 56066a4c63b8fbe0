"""`polyrank serve`: the state first, then the workers; all of them end together."""

import argparse
import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.cli import Commands
from app.logs import set_up
from app.settings import Settings
from app.sockets import announce, bound_socket
from model.errors import StateError

logger = logging.getLogger("polyrank.serve")


def register(commands: Commands) -> None:
    """Add the command `serve`."""
    parser = commands.add_parser("serve", help="answer over HTTP")
    parser.add_argument(
        "--bundle", type=Path, help="the bundle to make active (default: the active one, else bundles/current)"
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8000; 0: any)")
    parser.add_argument("--workers", type=int, help="serving processes (default 1)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; raises PolyrankError when it cannot start."""
    settings = with_bundle(arguments)
    settings.check_exposure()
    set_up(settings.log_level)
    settings.log()
    signal.signal(signal.SIGTERM, _leave)
    try:
        with state_of(settings) as connected:
            return _serve(promoted(connected))
    except KeyboardInterrupt:
        return 0


def _leave(*_: object) -> None:
    """SIGTERM before the server listens to it itself."""
    raise KeyboardInterrupt


def with_bundle(arguments: argparse.Namespace) -> Settings:
    """Settings of the environment and the command line; a bundle given by path brings its folder along."""
    told = {"host": arguments.host, "port": arguments.port, "workers": arguments.workers}
    bundle = arguments.bundle or (Path(path) if (path := os.environ.get("POLYRANK_BUNDLE")) else None)
    if bundle is not None:
        bundle = bundle.resolve()
        told |= {"bundle": bundle, "bundles": bundle.parent}
    return Settings.from_env(None, **told)


@contextmanager
def state_of(settings: Settings) -> Iterator[Settings]:
    """The settings with a state to connect to: the URL given, or an embedded Valkey for as long as this block runs."""
    if settings.redis_url is not None:
        yield settings
        return
    from app.state.embedded import EmbeddedValkey  # here, so that `polyrank --help` stays quick

    with EmbeddedValkey(settings.state_dir) as valkey:
        yield Settings.checked(dict(settings) | {"redis_url": valkey.url})


def promoted(settings: Settings) -> Settings:
    """Make the bundle that was asked for the active one, once for all workers; raises BundleError if it is damaged."""
    if settings.bundle is None:
        return settings
    from app.operate import on_state, verified

    version = verified(settings.bundle.parent, settings.bundle.name)
    try:
        on_state(settings, lambda store: store.activate(version))
    except StateError as error:
        logger.warning("%s is served, but not marked active: %s", version, error)
    return settings


def _serve(settings: Settings) -> int:
    if settings.workers > 1:
        from app.supervise import Supervisor

        with tempfile.TemporaryDirectory(prefix="polyrank-metrics-") as folder:
            return Supervisor(settings, Path(folder)).run()
    from app import worker

    sock = bound_socket(settings.host, settings.port)
    announce(sock)
    worker.run(worker.serve(settings, sock))
    return 0
