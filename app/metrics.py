"""What /metrics tells: requests by route, stages, fallbacks, the live bundle, how far this worker follows.

With several workers every process writes its part into PROMETHEUS_MULTIPROC_DIR (set by `polyrank serve`) and any of
them answers for all.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHARED = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """The measurements of one process; `registry` is its own, so that several services can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests answered.", "route", "method", "status")
        self._seconds = self._histogram("request_seconds", "From the request's headers to its answer.", "route")
        self._stages = self._histogram("stage_seconds", "Time in a stage of /recommend, of a batch.", "stage")
        self._fallbacks = self._counter("fallbacks", "Answers of /recommend by a fallback.", "fallback")
        self.degraded = self._counter("degraded", "Answers of /recommend with a part of the path away.")
        self._events = self._counter("events", "Feedback events.", "outcome")
        self._bundle = self._gauge("bundle_info", "The live bundle.", "version", mode="liveall")
        self.items = self._gauge("catalogue_items", "Items that can be answered.", mode="livemax")
        self.lag = self._gauge(
            "follow_lag_seconds",
            "Age of the newest moment as of which this worker has read all changes.",
            mode="livemax",
        )
        self.state_up = self._gauge("state_up", "1 while the state store answers.", mode="livemin")
        self.refused = self._counter("bundles_refused", "Bundles that did not verify when they were to go live.")
        self._version = ""
        self._answers: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._timings: dict[str, Histogram] = {}

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (route, method, status)
        if key not in self._answers:  # looking a label up costs more than counting
            self._answers[key] = self._requests.labels(route, method, str(status)), self._seconds.labels(route)
        count, timing = self._answers[key]
        count.inc()
        timing.observe(seconds)

    def stage(self, name: str, seconds: float) -> None:
        """Note the time spent in one stage."""
        if name not in self._timings:
            self._timings[name] = self._stages.labels(name)
        self._timings[name].observe(seconds)

    def answered(self, fallback: str | None, degraded: bool) -> None:
        """Count what kind of answer /recommend gave."""
        if fallback is not None:
            self._fallbacks.labels(fallback).inc()
        if degraded:
            self.degraded.inc()

    def events(self, outcome: str, count: int) -> None:
        """Count feedback events by what became of them: accepted, duplicate, rejected."""
        self._events.labels(outcome).inc(count)

    def bundle(self, version: str) -> None:
        """Note which bundle is live."""
        if self._version and self._version != version:
            self._bundle.remove(self._version) if SHARED not in os.environ else self._bundle.labels(self._version).set(
                0
            )
        self._version = version
        self._bundle.labels(version).set(1)

    def text(self) -> bytes:
        """The exposition, of all workers when they share."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # prometheus_client leaves it unannotated
        return generate_latest(registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"polyrank_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"polyrank_{name}", text, labels, registry=self.registry, buckets=SECONDS)

    def _gauge(self, name: str, text: str, *labels: str, mode: str) -> Gauge:
        gauge_mode = mode if SHARED in os.environ else "all"
        return Gauge(f"polyrank_{name}", text, labels, registry=self.registry, multiprocess_mode=gauge_mode)  # type: ignore[arg-type] # the Literal of modes
