"""Commands for operators: bundles, the event export, the erasure of a person; they work on the state."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from app.bundles import CURRENT, bundle_path, list_bundles, same_name
from app.cli import CommandError, Commands
from app.settings import Settings
from app.state.store import user_key
from model.errors import BundleError
from model.ids import check_id

if TYPE_CHECKING:
    from app.service import Store

T = TypeVar("T")


def register(commands: Commands) -> None:
    """Add `bundles`, `events` and `erase`."""
    _bundles(commands.add_parser("bundles", help="list, activate or roll back bundles"))
    _events(commands.add_parser("events", help="move the event stream to files"))
    erase = commands.add_parser("erase", help="erase all that is held of a user")
    erase.add_argument("user", metavar="USER", help="user id")
    erase.set_defaults(run=run_erase)


def _bundles(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", help="bundles of the bundles folder, newest first").set_defaults(run=run_list)
    one = actions.add_parser("activate", help="make a version the live one of every worker")
    one.add_argument("version", metavar="VERSION")
    one.set_defaults(run=run_activate)
    actions.add_parser("rollback", help="go back to the version before").set_defaults(run=run_rollback)


def _events(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    export = actions.add_parser("export", help="accepted events and impressions to Parquet, each exactly once")
    export.add_argument("--out", type=Path, default=Path("var/events"), help="folder to write to (var/events)")
    export.add_argument("--take-over", action="store_true", help="claim what an export into a lost folder left behind")
    export.set_defaults(run=run_export)


@contextmanager
def state_url(settings: Settings) -> Iterator[str]:
    """Where the state is: the URL set, else the live service's Valkey or one started for this command."""
    if settings.redis_url is not None:
        yield settings.redis_url.get_secret_value()
        return
    from app.state.embedded import local_url  # here, so that `polyrank --help` stays quick

    with local_url(settings.state_dir) as url:
        yield url


def on_state(settings: Settings, use: Callable[["Store"], Awaitable[T]]) -> T:
    """Run something on the state of the settings."""

    async def run(url: str) -> T:
        from app.state.redis_store import open_store

        store = open_store(url)
        try:
            return await use(store)
        finally:
            await store.close()

    with state_url(settings) as url:
        return asyncio.run(run(url))


def run_list(_: argparse.Namespace) -> None:
    """Print the bundles of the folder; a star marks the active one."""
    settings = Settings.from_env()
    active = on_state(settings, lambda store: active_version(settings, store))
    for one in list_bundles(settings.bundles):
        mark, sealed = "*" if one.version == active else " ", "" if one.sealed else "  not sealed"
        _say(f"{mark} {one.version}  {one.created}{sealed}")


def run_activate(arguments: argparse.Namespace) -> None:
    """Verify a bundle, then make it the active one."""
    settings = Settings.from_env()
    version = verified(settings.bundles, arguments.version)
    on_state(settings, lambda store: store.activate(version))
    _say(f"{version} is active; running services follow within a second")


def run_rollback(_: argparse.Namespace) -> None:
    """Activate the version that was active before, or else the next older one."""
    settings = Settings.from_env()
    version = verified(settings.bundles, on_state(settings, lambda store: version_before(settings, store)))
    on_state(settings, lambda store: store.activate(version))
    _say(f"{version} is active again; running services follow within a second")


def run_erase(arguments: argparse.Namespace) -> None:
    """Erase a user and print the receipt."""
    user = check_id(arguments.user, "user id")
    receipt = on_state(Settings.from_env(), lambda store: store.erase_user(user_key(user)))
    _say(f"erased of {user}: {', '.join(f'{count} {what}' for what, count in receipt.items())}")


def run_export(arguments: argparse.Namespace) -> None:
    """Export the streams and say what was written."""
    from app.state.export import export_events

    folder, take_over = arguments.out, arguments.take_over
    made = on_state(Settings.from_env(), lambda store: export_events(store, folder, take_over=take_over))
    _say(f"exported {made.events} events and {made.impressions} answers to {', '.join(made.files) or folder}")
    _say(f"{made.repeated} were there already, {made.purged} of erased users removed, {made.trimmed} left the streams")
    if made.elsewhere:
        _say(f"{made.elsewhere} are claimed by an export into another folder; --take-over claims them")


async def active_version(settings: Settings, store: "Store") -> str | None:
    """The version a service serves: the activated one, else the one that `current` points at."""
    active = await store.active_bundle()
    current = settings.bundles / CURRENT
    return active or (current.resolve().name if current.exists() else None)


async def version_before(settings: Settings, store: "Store") -> str:
    """What was active before the active version; without a record, the next older bundle. Raises CommandError."""
    active = await active_version(settings, store)
    activated = [one.version for one in await store.activations()]
    listed = [one.version for one in list_bundles(settings.bundles) if one.sealed]
    older = listed[listed.index(active) + 1 :] if active in listed else []
    for version in (*activated, *older):
        if version != active and version in listed:
            return version
    raise CommandError("bundles rollback", active, f"there is no other sealed bundle in {settings.bundles}")


def verified(folder: Path, version: str) -> str:
    """The version, once its bundle verifies; raises BundleError."""
    from model.bundle import open_bundle

    path = bundle_path(folder, version)
    if path is None:
        raise BundleError(str(folder / version), None, "`polyrank bundles list` shows those there are")
    return same_name(path, open_bundle(path).version)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
