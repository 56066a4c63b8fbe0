"""An open loop: requests leave when they are due, whatever has become of those before; latency counts from then.

    python -m bench.serving.open_loop PORT BODIES SECONDS RATE START [--even]

Arrivals are a Poisson process, as those of many users who do not know of each other are; --even spaces them evenly, as
most load generators do. A request is late when it left more than a millisecond after it was due, for want of a
processor or a connection: a generator that is late measures itself. So it has the processor before everybody else where
it may (SCHED_FIFO), and uses little of it: it sleeps until shortly before what is due next.
"""

import argparse
import json
import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LATE_S = 0.001
NEAR_S = 0.0001  # what is left is waited for awake: a sleep may last longer than told
CONNECTIONS = 128
PATIENCE_S = 10.0


def schedule(rate: float, seconds: float, even: bool, seed: int = 0) -> NDArray[np.float64]:
    """When requests are due, seconds from the start, ascending."""
    count = max(int(rate * seconds), 1)
    gaps = np.full(count, 1 / rate) if even else np.random.default_rng(seed).exponential(1 / rate, count)
    due: NDArray[np.float64] = np.cumsum(gaps)
    return due


@dataclass
class Record:
    """What became of each request, seconds from the start: due, sent (NaN: never), done (NaN: no good answer)."""

    due: NDArray[np.float64]
    sent: NDArray[np.float64]
    done: NDArray[np.float64]


def summary(record: Record) -> dict[str, float]:
    """requests, late (not sent within LATE_S of when they were due), failed, p50_ms and p99_ms from due to done."""
    late = ~(record.sent - record.due <= LATE_S)
    good = ~np.isnan(record.done)
    latency = (record.done - record.due)[good] * 1000
    p50, p99 = np.percentile(latency, [50, 99]).tolist() if len(latency) else (float("nan"),) * 2
    return {
        "requests": len(record.due),
        "late": int(late.sum()),
        "failed": int((~good).sum()),
        "p50_ms": round(p50, 3),
        "p99_ms": round(p99, 3),
    }


@dataclass
class Link:
    """One connection, one request at a time."""

    socket: socket.socket
    number: int = -1
    data: bytearray = field(default_factory=bytearray)

    def answered(self) -> bool | None:
        """Whether the answer was a 200; None while it is not whole."""
        self.data += self.socket.recv(1 << 18)
        head, found, rest = self.data.partition(b"\r\n\r\n")
        if not found:
            return None
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return head.startswith(b"HTTP/1.1 200") if len(rest) >= size else None


class Generator:
    """Sends `requests` in turn, each when it is due."""

    def __init__(self, port: int, requests: Sequence[bytes], due: NDArray[np.float64]) -> None:
        self._requests = requests
        self.record = Record(due, np.full(len(due), np.nan), np.full(len(due), np.nan))
        self._links = [Link(socket.create_connection(("127.0.0.1", port))) for _ in range(CONNECTIONS)]
        self._idle, self._busy = deque(self._links), dict[int, Link]()
        for link in self._links:
            link.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> Record:
        """All requests, and their answers as far as they come in time."""
        due, start, following = self.record.due.tolist(), time.perf_counter() + 0.05, 0
        while following < len(due) or self._busy:
            now = time.perf_counter() - start
            if following < len(due) and due[following] <= now and self._idle:
                self._send(following, now)
                following += 1
            elif now > due[-1] + PATIENCE_S:
                break
            else:
                self._receive(due[following] - now if following < len(due) else 1.0, start)
        for link in self._links:
            link.socket.close()
        return self.record

    def _send(self, number: int, now: float) -> None:
        link = self._idle.popleft()
        link.number = number
        link.data.clear()
        self._busy[link.socket.fileno()] = link
        link.socket.sendall(self._requests[number % len(self._requests)])
        self.record.sent[number] = now

    def _receive(self, left: float, start: float) -> None:
        """Take answers until the next request is near."""
        wait = max(left - NEAR_S, 0.0) if self._idle else 1.0
        ready, _, _ = select.select(list(self._busy), [], [], wait)  # epoll counts in milliseconds
        for descriptor in ready:
            link = self._busy[descriptor]
            good = link.answered()
            if good is not None:
                self.record.done[link.number] = time.perf_counter() - start if good else np.nan
                self._idle.append(self._busy.pop(descriptor))


def request(port: int, body: bytes) -> bytes:
    """The bytes of one request."""
    head = f"POST /recommend HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def main() -> None:
    """Run one load; the last line is its summary as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("bodies", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("rate", type=float)
    parser.add_argument("start", type=int)
    parser.add_argument("--even", action="store_true")
    told = parser.parse_args()
    lines = told.bodies.read_bytes().splitlines()
    lines = lines[told.start % len(lines) :] + lines[: told.start % len(lines)]
    due = schedule(told.rate, told.seconds, told.even)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    record = Generator(told.port, [request(told.port, line) for line in lines], due).run()
    print(json.dumps(summary(record)))


if __name__ == "__main__":
    main()
