"""`make bench-serving`: how fast the service answers, against its own physical limits.

    python -m bench.serving.run [--quick] [--work FOLDER] [--write]

Makes the bundles and the users, starts the servers, drives them from outside, prints a table and, as its last line,
one JSON object. --work keeps what was made for the next run (default: a temporary folder, removed at the end);
--quick is a smoke test of small sizes; --write writes docs/performance.md. Needs wrk and taskset (Debian: wrk,
util-linux).
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.state.embedded import EmbeddedValkey
from bench.serving import floor, people, stages
from bench.serving.load import Closed, closed_loop, open_loop
from bench.serving.processes import READY_S, THREADS, Server, memory_mb, pin
from bench.serving.report import PAGE, Report
from bench.serving.world import World, spec, write_bundle

SERVER, OTHERS = 0, 1  # cores
LOAD = 0.65
PATIENCE_MS = 30_000  # a full load makes requests wait: none of them is to be answered by a fallback, which is cheaper
EQUAL = 1e-5


@dataclass(frozen=True)
class Size:
    """Sizes of a run: items of the two bundles, users of the store, who of them ask, seconds of one load, repeats."""

    items: tuple[int, int] = (100_000, 1_000_000)
    users: int = 100_000
    trained: int = 20_000
    asking: int = 20_000
    seconds: float = 8.0
    repeats: int = 3
    text: bool = True


QUICK = Size((2_000, 5_000), 500, 200, 300, 1.0, 1, text=False)


@dataclass
class Loads:
    """Closed loops by server, one a repeat, and open loops."""

    closed: dict[str, list[Closed]] = field(default_factory=dict)
    open: list[dict[str, Any]] = field(default_factory=list)
    poisson: list[dict[str, Any]] = field(default_factory=list)

    def ratio(self, one: str, other: str) -> float:
        """Median over repeats of one server's rate over another's in the same repeat."""
        pairs = zip(self.closed[one], self.closed[other], strict=True)
        return statistics.median(a.rate / b.rate for a, b in pairs)

    def rate(self, name: str) -> float:
        """Median rate."""
        return statistics.median(one.rate for one in self.closed[name])

    def cpu_us(self, name: str) -> float:
        """Median CPU a request, all workers together."""
        return statistics.median(one.cpu_us for one in self.closed[name])


class Bench:
    """One run."""

    def __init__(self, size: Size, work: Path) -> None:
        self.size, self.work, self.loads = size, work, Loads()
        self.asked = people.asking(size.users, size.asking)
        self.bodies = work / "bodies.jsonl"
        self.bodies.write_bytes(b"\n".join(people.body(user) for user in self.asked) + b"\n")
        self.small, self.large = (self._bundle(items) for items in size.items)

    def _bundle(self, items: int) -> Path:
        started = time.perf_counter()
        path = write_bundle(self._world(items), self.work)
        say(f"bundle of {items:,} items: {time.perf_counter() - started:.0f} s")
        return path

    def _world(self, items: int) -> World:
        """The same moment for all bundles of a work folder, also of a later run on the same day."""
        stamp = self.work / "now"
        if not stamp.exists():
            stamp.write_text(str(time.time()))
        return World(items, self.size.trained, self.size.text, float(stamp.read_text()))

    def run(self) -> Report:
        """Everything."""
        with EmbeddedValkey(self.work / "state") as valkey:
            assert valkey.pid is not None
            self._people(valkey.url)
            people.keep_vectors(valkey.url, self.small, self.asked)
            os.sched_setaffinity(0, {SERVER})
            alone = stages.measured(valkey.url, self.small, self.asked[:2_000])
            sizes = {"B": 1, "C": 300, "L": spec(self.size.text).rank_history}
            ranker = floor.measured(self.small / "ranker.onnx", spec(self.size.text), sizes)
            os.sched_setaffinity(0, {OTHERS})
            pin(valkey.pid, OTHERS)
            differs = self._one_worker(valkey.url)
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
            pin(valkey.pid, None)
            memory = self._two_workers(valkey.url)
        return self._report(alone, ranker, differs, memory)

    def _people(self, url: str) -> None:
        loaded, started = self.work / "loaded", time.perf_counter()
        if not loaded.exists():
            people.load_events(url, self.small, self._world(self.size.items[0]), self.size.users)
            loaded.touch()
            say(f"{self.size.users:,} users in the store: {time.perf_counter() - started:.0f} s")

    def _one_worker(self, url: str) -> float:
        """All servers on one core, asked in turn; how far scores of the naive pipeline are from the service's."""
        naive = ["naive", "--bundle", str(self.small), "--ranker", str(self.work / "graphs" / "plain.onnx")]
        with ExitStack() as stack:
            start = partial(_started, stack)
            servers = {
                "empty": start("bench.serving.servers", "empty"),
                "http": start("bench.serving.servers", "http", "--bundle", str(self.small)),
                "naive": start("bench.serving.servers", *naive, "--redis", url),
                "service": stack.enter_context(service(self.small, url, 1, SERVER)),
            }
            differs = difference(servers["service"], servers["naive"], self.asked[:50])
            self._closed(servers, OTHERS)
            rate = LOAD * self.loads.rate("service")
            for repeat in range(self.size.repeats):
                self.loads.open.append(self._open(servers["service"], rate, repeat, even=True))
                self.loads.poisson.append(self._open(servers["service"], rate, repeat))
        self._million(url)
        return differs

    def _million(self, url: str) -> None:
        """The two sizes in turn: their cached vectors differ, so each user's is of whom it was asked of before."""
        people.keep_vectors(url, self.large, self.asked[::2])
        people.keep_vectors(url, self.small, self.asked[1::2])
        halves = {}
        for place, name in enumerate(("million", "hundred")):
            halves[name] = self.work / f"{name}.jsonl"
            halves[name].write_bytes(b"\n".join(people.body(user) for user in self.asked[place::2]) + b"\n")
        with service(self.large, url, 1, SERVER) as large, service(self.small, url, 1, SERVER) as small:
            for repeat in range(self.size.repeats):
                for name, server in (("million", large), ("hundred", small)):
                    self._load(name, server, halves[name], repeat, OTHERS)

    def _two_workers(self, url: str) -> list[dict[str, float]]:
        """One and two workers in turn, nothing pinned; memory of the two."""
        people.keep_vectors(url, self.small, self.asked)
        with service(self.small, url, 1, None) as one, service(self.small, url, 2, None) as two:
            for repeat in range(self.size.repeats):
                self._load("one worker", one, self.bodies, repeat, None)
                self._load("two workers", two, self.bodies, repeat, None, 64)
            return [memory_mb(pid) for pid in two.workers]

    def _closed(self, servers: dict[str, Server], core: int | None) -> None:
        for repeat in range(self.size.repeats):
            for name, server in servers.items():
                self._load(name, server, self.bodies, repeat, core)

    def _load(
        self, name: str, server: Server, bodies: Path, repeat: int, core: int | None, connections: int = 16
    ) -> None:
        place = repeat * self.size.asking // max(self.size.repeats, 1)
        found = closed_loop(server, bodies, self.size.seconds, place, connections, core)
        self.loads.closed.setdefault(name, []).append(found)
        say(f"{name}: {found.rate:.0f}/s, {found.cpu_us:.0f} µs CPU, p99 {found.p99_ms:.1f} ms, {found.failed} failed")

    def _open(self, server: Server, rate: float, repeat: int, even: bool = False) -> dict[str, Any]:
        place = repeat * self.size.asking // max(self.size.repeats, 1)
        found = open_loop(server, self.bodies, 2 * self.size.seconds, rate, place, even, OTHERS)
        say(f"open loop at {rate:.0f}/s{', even' if even else ''}: {found}")
        return found

    def _report(
        self, alone: stages.Stages, ranker: floor.Floor, differs: float, memory: list[dict[str, float]]
    ) -> Report:
        loads, manifest = self.loads, json.loads((self.small / "manifest.json").read_bytes())
        if differs > EQUAL:
            raise SystemExit(f"the naive pipeline's scores differ by {differs}")
        http = loads.cpu_us("http")
        figures = {
            "ratio_to_empty": loads.ratio("service", "empty"),
            "ratio_to_naive": loads.ratio("service", "naive"),
            "cpu_over_stages": loads.cpu_us("service") / (http + alone.total),
            "two_workers_over_one": loads.ratio("two workers", "one worker"),
            "p99_ms_open_loop_65": statistics.median(one["p99_ms"] for one in loads.open),
            "million_over_100k": loads.ratio("million", "hundred"),
            "recall_at_100": manifest["gates"]["items.faiss"]["recall_at_100"],
            "ranker_over_gemm_floor": ranker.share,
            "rss_mb_per_worker": float(np.mean([one["Rss"] for one in memory])),
        }
        rows = [(f"{name}: closed loop", loads.rate(name), "requests/s") for name in loads.closed]
        rows += [(f"{name}: CPU of the server", loads.cpu_us(name), "µs a request") for name in loads.closed]
        rows += [("stage http (a server with one same answer)", http, "µs")]
        rows += [(f"stage {name}", spent, "µs") for name, spent in alone.path.items()]
        rows += [(f"part {name}", spent, "µs" if name != "candidates" else "") for name, spent in alone.inside.items()]
        rows += self._more(ranker, differs, memory)
        return Report(figures, rows, self._told(manifest))

    def _more(
        self, ranker: floor.Floor, differs: float, memory: list[dict[str, float]]
    ) -> list[tuple[str, float, str]]:
        loads = self.loads
        return [
            ("ranker at 300 candidates", ranker.us, "µs"),
            ("ranker, floating-point operations", ranker.flops / 1e6, "MFLOP"),
            ("a plain product", ranker.speed / 1e3, "GFLOP/s"),
            ("open loop, late requests", sum(one["late"] for one in loads.open), "of all repeats"),
            ("open loop, requests", sum(one["requests"] for one in loads.open), "of all repeats"),
            ("open loop, p50", statistics.median(one["p50_ms"] for one in loads.open), "ms"),
            (
                "Poisson arrivals, late requests",
                sum(one["late"] for one in loads.poisson),
                "of all repeats",
            ),
            ("Poisson arrivals, p50", statistics.median(one["p50_ms"] for one in loads.poisson), "ms"),
            ("Poisson arrivals, p99", statistics.median(one["p99_ms"] for one in loads.poisson), "ms"),
            ("two workers, CPU of the less busy over the busier", loads.closed["two workers"][-1].balance, ""),
            ("failed requests", sum(one.failed for many in loads.closed.values() for one in many), ""),
            ("largest difference of a score to the naive pipeline", differs, ""),
            ("memory of a worker, shared pages divided", float(np.mean([one["Pss"] for one in memory])), "MB"),
            ("memory of a worker, its own", float(np.mean([one["Anonymous"] for one in memory])), "MB"),
        ]

    def _told(self, manifest: dict[str, Any]) -> list[str]:
        size = self.size
        return [
            f"{size.users:,} users in the store, {people.STORED} events each, {size.trained:,} of them with a history "
            f"in the bundle too; {size.asking:,} ask, with cached vectors; k = 20, 300 candidates.",
            f"Median of {size.repeats} repeats of {size.seconds:g} s; ratios are of the same repeat. The server has "
            f"core {SERVER}, generator and Valkey core {OTHERS}; for two workers nothing is pinned.",
            f"Index of the small bundle: {manifest['gates']['items.faiss']['index']}; load average at the end "
            f"{os.getloadavg()[0]:.1f}: whatever else ran on the machine is in these figures.",
        ]


def service(bundle: Path, url: str, workers: int, core: int | None) -> Server:
    """The service as it is installed, ready."""
    settings = {
        "bundle": bundle,
        "bundles": bundle.parent,
        "redis_url": url,
        "workers": workers,
        "timeout_ms": PATIENCE_MS,
        "log_level": "warning",
    }
    server = Server(["app.cli", "serve", "--port", "0"], settings, core).ready()
    end = time.monotonic() + READY_S
    while server.listening < workers:
        if time.monotonic() > end:
            raise RuntimeError(f"{server.listening} of {workers} workers listen")
        time.sleep(0.1)
    return server


def difference(service: Server, naive: Server, asked: list[int]) -> float:
    """Largest difference of the same item's score in both answers; infinite when the items are not the same."""
    found = 0.0
    for user in asked:
        (_, one), (_, other) = (server.ask("POST", "/recommend", people.body(user)) for server in (service, naive))
        here, there = ({item["item_id"]: item["score"] for item in answer["items"]} for answer in (one, other))
        cut = min(here.values(), default=0.0) + EQUAL
        if {item for item, score in here.items() if score > cut} - there.keys():
            return float("inf")
        found = max([found, *(abs(here[item] - there[item]) for item in here.keys() & there.keys())])
    return found


def _started(stack: ExitStack, *command: str) -> Server:
    return stack.enter_context(Server(command, {}, SERVER)).ready()


def say(text: str) -> None:
    """Progress, aside from the table."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--work", type=Path, help="folder to keep bundles and state in (default: a temporary one)")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE}")
    told = parser.parse_args()
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is not installed (Debian: apt-get install wrk util-linux)")
    if not os.environ.keys() >= THREADS.keys():  # the libraries have read them: begin again
        os.execve(sys.executable, [sys.executable, "-m", "bench.serving.run", *sys.argv[1:]], {**os.environ, **THREADS})  # noqa: S606  # ourselves
    with tempfile.TemporaryDirectory(prefix="polyrank-serving-") as scratch:
        work = told.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        report = Bench(QUICK if told.quick else Size(), work.absolute()).run()
    print(report.table())
    if told.write:
        Path(PAGE).write_text(report.page(), encoding="utf-8")
    print(json.dumps(report.figures))


if __name__ == "__main__":
    main()
