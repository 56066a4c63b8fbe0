"""Load from outside: a closed loop by wrk, and an open loop in a process of its own (`open_loop.py`)."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.serving.processes import Server, cpu_seconds

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Closed:
    """A closed loop: requests a second, CPU seconds a request of each worker that answered, latencies."""

    rate: float
    cpu: tuple[float, ...]
    p50_ms: float
    p99_ms: float
    failed: int

    @property
    def cpu_us(self) -> float:
        """CPU microseconds of the server a request."""
        return sum(self.cpu) * 1e6

    @property
    def balance(self) -> float:
        """The least busy worker's CPU over the busiest one's; 1 for one worker."""
        return min(self.cpu) / max(max(self.cpu), 1e-12)


def closed_loop(
    server: Server, bodies: Path, seconds: float, start: int, connections: int = 16, core: int | None = None
) -> Closed:
    """Ask as fast as it answers, from a place in the list of bodies on."""
    before, began = {pid: cpu_seconds(pid) for pid in server.workers}, time.perf_counter()
    said = json.loads(_output(_wrk(server, bodies, seconds, start, connections), core).splitlines()[-1])
    spent = [cpu_seconds(pid) - used for pid, used in before.items()]
    assert time.perf_counter() - began >= seconds
    requests = max(said["requests"], 1)
    return Closed(
        said["requests"] / said["seconds"],
        tuple(one / requests for one in spent),
        said["p50_ms"],
        said["p99_ms"],
        said["failed"],
    )


def _wrk(server: Server, bodies: Path, seconds: float, start: int, connections: int) -> list[str]:
    script = str(HERE / "wrk.lua")
    load = ["--threads", "1", "--connections", str(connections), "--duration", f"{max(round(seconds), 1)}s"]
    return ["wrk", *load, "--script", script, f"{server.url}/recommend", "--", str(bodies), str(start)]


def open_loop(
    server: Server, bodies: Path, seconds: float, rate: float, start: int, even: bool = False, core: int | None = None
) -> dict[str, Any]:
    """Ask at a rate whatever happens; see `open_loop.summary`."""
    told = [str(server.port), str(bodies), str(seconds), str(rate), str(start), *(["--even"] if even else [])]
    command = [sys.executable, "-m", "bench.serving.open_loop", *told]
    found: dict[str, Any] = json.loads(_output(command, core).splitlines()[-1])
    return found


def _output(command: Sequence[str], core: int | None) -> str:
    pin = [] if core is None else ["taskset", "--cpu-list", str(core)]
    done = subprocess.run([*pin, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
