"""`polyrank serve` as a process of its own, for tests end to end: started, asked over HTTP, killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
Answer = tuple[int, Any]


def environment(bundles: Path, state: Path, **settings: object) -> dict[str, str]:
    """An environment whose POLYRANK_* are these only."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("POLYRANK_")}
    told = {
        "BUNDLES": bundles,
        "STATE_DIR": state,
        "PORT": 0,
        **{name.upper(): value for name, value in settings.items()},
    }
    return bare | {f"POLYRANK_{name}": str(value) for name, value in told.items()} | {"OMP_NUM_THREADS": "1"}


def polyrank(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


class Served:
    """A running service; `stop` and `kill` end it."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "app.cli", "serve", *arguments]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.port = int(line.rpartition(":")[2] or 0)
        self.key = ""

    def ready(self) -> "Served":
        """Wait until it answers."""
        assert until(lambda: self.get("/readyz")[0] == 200), "the service did not become ready"
        return self

    def send(self, method: str, path: str, body: object = None) -> Answer:
        """Status and JSON of one request on a connection of its own; status 0 when nothing answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"X-API-Key": self.key} if self.key else {}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, _content(answer.read())
        except (OSError, HTTPException):
            return 0, None
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """GET."""
        return self.send("GET", path)

    def recommended(self, **asked: object) -> list[str]:
        """Ids that /recommend answers."""
        status, answer = self.send("POST", "/recommend", {"n": 200, "exclude_seen": False, **asked})
        assert status == 200, answer
        return [one["item_id"] for one in answer["items"]]

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """SIGKILL to the service and to everything it started, at once."""
        for pid in (self.process.pid, *children(self.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        if self.process.stdout is not None:
            self.process.stdout.close()


def _content(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()


def children(pid: int) -> list[int]:
    """Living child processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(path.parent.name))
    return found


def alive(pid: int) -> bool:
    """Is this process there, and no zombie?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(holds: Callable[[], object], patience_s: float = PATIENCE_S) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
