"""`polyrank events export` and `polyrank erase`: they use the store of the settings, also beside a live service."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from app.settings import Settings
from model.ids import check_id

if TYPE_CHECKING:
    from app.state.redis_store import RedisStore

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
TIMEOUT_S = 30.0  # a command is patient where a request is not


def register(commands: Commands) -> None:
    """Add the commands to the `polyrank` parser."""
    events = commands.add_parser("events", help="accepted feedback events").add_subparsers(
        metavar="ACTION", required=True
    )
    export = events.add_parser("export", help="move accepted events and impressions to Parquet files")
    export.add_argument("--out", type=Path, default=Path("events"), help="folder of the files (default: events)")
    export.add_argument(
        "--keep-seconds", type=float, default=60.0, help="how long exported events stay in the store's streams"
    )
    export.add_argument(
        "--take-over", action="store_true", help="also export what exports into other, lost folders left unfinished"
    )
    export.set_defaults(run=run_export)
    erase = commands.add_parser("erase", help="delete everything the state holds of a user")
    erase.add_argument("user", help="user id")
    erase.add_argument("--session", action="store_true", help="the id is that of an anonymous session")
    erase.set_defaults(run=run_erase)


def run_export(arguments: argparse.Namespace) -> None:
    """`polyrank events export`: prints the receipt as JSON."""
    from app.state.export import export_events

    async def export(store: "RedisStore") -> dict[str, Any]:
        return asdict(await export_events(store, arguments.out, arguments.keep_seconds, arguments.take_over))

    _print(_with_store(export))


def run_erase(arguments: argparse.Namespace) -> None:
    """`polyrank erase`: prints how many of each kind went as JSON."""
    from app.state.store import user_key

    name = check_id(arguments.user, "session id" if arguments.session else "user id")
    key = user_key(None, name) if arguments.session else user_key(name)

    async def erase(store: "RedisStore") -> dict[str, Any]:
        return {"user_id": arguments.user, "erased": await store.erase_user(key)}

    _print(_with_store(erase))


def _print(receipt: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(receipt, ensure_ascii=False, indent=2) + "\n")


def _with_store(work: "Callable[[RedisStore], Awaitable[dict[str, Any]]]") -> dict[str, Any]:
    """Open the store of the settings, do the work, close it."""
    from app.state.redis_store import open_store

    async def go(url: str) -> dict[str, Any]:
        store = open_store(url, TIMEOUT_S)
        try:
            return await work(store)
        finally:
            await store.close()

    with store_url(Settings.from_env()) as url:
        return asyncio.run(go(url))


@contextmanager
def store_url(settings: Settings) -> Iterator[str]:
    """The URL of the store that the settings name; an embedded one runs at least as long as the block."""
    if settings.redis_url is not None:
        yield settings.redis_url.get_secret_value()
        return
    from app.state.embedded import local_url

    with local_url(settings.state_dir) as url:
        yield url
