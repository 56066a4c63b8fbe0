"""Processes of the benchmark: pinned to a core, known by their address, and what they cost."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TICK = os.sysconf("SC_CLK_TCK")
READY_S = 300.0
LISTEN = "0A"  # the state in /proc/net/tcp
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Server:
    """A server process that prints its address as `… on http://host:port`; `core` None: not pinned."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, object], core: int | None) -> None:
        bare = {name: value for name, value in os.environ.items() if not name.startswith("POLYRANK_")}
        told = {f"POLYRANK_{name.upper()}": str(value) for name, value in settings.items()}
        pin = [] if core is None else ["taskset", "--cpu-list", str(core)]
        self.process = subprocess.Popen(
            [*pin, sys.executable, "-m", *command], env=bare | told | THREADS, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2] or 0)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def ready(self, path: str = "/readyz") -> Self:
        """Wait until it answers and has followed what there is; RuntimeError when it does not."""
        end = time.monotonic() + READY_S
        while time.monotonic() < end and self.process.poll() is None:
            if self.ask("GET", path)[0] in (200, 404, 405):
                return self
            time.sleep(0.1)
        raise RuntimeError(f"the server {self.process.args!r} did not become ready")

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """Status and content of one request; status 0 when nothing answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data[:1] in b"{[" else data
        except (OSError, HTTPException, ValueError):
            return 0, None
        finally:
            connection.close()

    @property
    def listening(self) -> int:
        """How many sockets listen on its port: every worker has one of its own."""
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == self.port for fields in lines)

    @property
    def workers(self) -> list[int]:
        """Process ids that answer: its children, or itself when it has none."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(one) for one in listed] or [self.process.pid]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_mb(pid: int) -> dict[str, float]:
    """`Rss`, `Pss` (shared pages divided) and `Anonymous` (its own) of a process, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    told = {line.partition(":")[0]: line.split()[1] for line in lines}
    return {name: int(told[name]) / 1024 for name in ("Rss", "Pss", "Anonymous")}


def pin(pid: int, core: int | None) -> None:
    """Hold a process with all its threads to a core; None: to any."""
    cores = set(range(os.cpu_count() or 1)) if core is None else {core}
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)
