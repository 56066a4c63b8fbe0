"""A whole service in the test process: real bundles, a real store, HTTP by Starlette's test client."""

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from app.bootstrap import build_service
from app.main import Front, create_app
from app.service import Service, Store
from app.settings import Settings
from app.state.memory import MemoryStore
from index.build import point_current, seal
from model.errors import StateError
from tests.bundles import make_bundle

ONE, TWO = "20261124-0000-test", "20261125-0000-test"
ITEMS, USERS = 60, 20
KEYS = "client:client-key-0123456789,operator:operator-key-0123456,read-only:reader-key-0123456789"


@cache
def made_bundles() -> Path:
    """A folder with two sealed bundles of the same items and users, ONE the current one; never write into it."""
    folder = Path(tempfile.mkdtemp(prefix="polyrank-serving-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for seed, version in enumerate((ONE, TWO)):
        seal(make_bundle(folder, items=ITEMS, users=USERS, seed=seed, version=version))
    point_current(folder / ONE)
    return folder


def bundles(folder: Path) -> Path:
    """A folder of bundles of one's own: copies of both, by hard link; replace files in it, never write into them."""
    mine = folder / "bundles"
    for version in (ONE, TWO):
        shutil.copytree(made_bundles() / version, mine / version, copy_function=os.link)
    point_current(mine / ONE)
    return mine


def damage(path: Path) -> None:
    """Flip one byte of a file, of this copy only."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


def make_service(store: Store | None = None, **given: Any) -> Service:
    """A service on the shared bundles, a memory store by default; it follows others every 10 ms."""
    settings = Settings(**{"bundles": made_bundles(), "follow_ms": 10, **given})
    return build_service(settings, store or MemoryStore())


@contextmanager
def serving(store: Store | None = None, **given: Any) -> Iterator[TestClient]:
    """A started service as an HTTP client."""
    with TestClient(Front(create_app(make_service(store, **given)))) as client:
        yield client


def eventually(holds: Callable[[], object], patience_s: float = 5.0) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class FlakyStore(MemoryStore):
    """A memory store that can be taken away and brought back: what a Redis does when it restarts."""

    def __init__(self, away: bool = False) -> None:
        super().__init__()
        object.__setattr__(self, "away", away)

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name.startswith("_") or name in ("away", "close") or not object.__getattribute__(self, "away"):
            return found
        return _fails


async def _fails(*_: Any, **__: Any) -> Any:
    raise StateError("state store", "connection refused", "see that it runs")


def ids(answer: Any) -> list[str]:
    """Item ids of an answer of /recommend or /similar."""
    return [one["item_id"] for one in answer.json()["items"]]
