"""The default store: a Valkey that the service itself starts on STATE_DIR, keeps alive and ends.

The append-only file is written before each reply (`appendfsync no` never postpones a write, as `everysec` does while
a sync is under way), so an accepted event survives the kill of any process; it is synced to disk every second from
here, so a power cut loses at most that second. Together: "aof-everysec", told to stores by `synced=1` in the URL.
"""

import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote

from app.state.folder import StateInUseError, lock, socket_path
from app.state.process import command, end_left_behind, end_process, sync_files, wait_ready
from app.state.urls import SYNCED
from model.errors import StateError

LOOK_S, SYNC_S = 0.1, 1.0

logger = logging.getLogger("polyrank.state")


class EmbeddedValkey:
    """One Valkey on a state folder; start it before anything that uses `url`, stop it after (or use `with`)."""

    def __init__(self, state_dir: Path, maxmemory: str = "0") -> None:
        self._dir = state_dir.absolute()
        self._maxmemory = maxmemory
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._guard: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The URL for `open_store`, in this process and in workers."""
        return f"unix://{quote(str(socket_path(self._dir)))}?{SYNCED}=1"

    @property
    def pid(self) -> int | None:
        """Process id of the running Valkey."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start Valkey and wait until it answers; ends one that a killed service left behind.

        Raises StateInUseError when a live service owns the folder, StateError when Valkey does not come up.
        """
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = lock(self._dir)
        try:
            end_left_behind(self._dir)
            self._spawn()
        except BaseException:
            self.stop()
            raise
        self._guard = threading.Thread(target=self._watch, name="polyrank-valkey", daemon=True)
        self._guard.start()
        return self

    def stop(self) -> None:
        """End Valkey after it has written everything, and let go of the folder."""
        self._ending.set()
        if self._guard is not None:
            self._guard.join()
        if self._process is not None:
            end_process(self._process)
        if self._lock is not None:
            os.close(self._lock)
        self._guard = self._process = self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self) -> None:
        path = socket_path(self._dir)
        path.unlink(missing_ok=True)
        # A session of its own: Ctrl-C at the terminal must reach the service first, which then ends Valkey.
        self._process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
            command(self._dir, path, self._maxmemory), stdin=subprocess.DEVNULL, start_new_session=True
        )
        (self._dir / "valkey.pid").write_text(str(self._process.pid))
        wait_ready(self._process, path, self._dir)

    def _watch(self) -> None:
        """Sync the append-only file every second, and bring Valkey back when it was killed."""
        synced = time.monotonic()
        while not self._ending.wait(LOOK_S):
            if self._process is not None and self._process.poll() is not None:
                self._revive(self._process.returncode)
            if time.monotonic() - synced >= SYNC_S:
                sync_files(self._dir)
                synced = time.monotonic()

    def _revive(self, code: int) -> None:
        logger.error("the embedded Valkey ended with status %d and is started again", code)
        try:
            self._spawn()
        except StateError as error:
            logger.error("%s", error)
            self._ending.wait(SYNC_S)


@contextmanager
def local_url(state_dir: Path) -> Iterator[str]:
    """The URL of the store on a state folder: of the live service's Valkey, or of one started for this block."""
    own = EmbeddedValkey(state_dir)
    try:
        own.start()
    except StateInUseError:
        yield own.url
        return
    try:
        yield own.url
    finally:
        own.stop()
