"""The serving benchmark's own arithmetic and pieces, at tiny size."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from app.pipeline.engine import Engine
from app.pipeline.recommend import Recommender
from app.pipeline.request import RecommendRequest
from app.state.redis_store import open_store
from app.wire import RecommendBody
from bench.serving.floor import Floor, gemm_flops_per_us, ranker_flops
from bench.serving.load import Closed
from bench.serving.nets import PlainRanker, made_model
from bench.serving.open_loop import Generator, Record, request, schedule, summary
from bench.serving.report import REACH, Report
from bench.serving.run import Loads
from bench.serving.servers import NaivePipeline
from bench.serving.world import World, neighbours, spec, tastes
from index.build import seal
from index.catalogue import LiveCatalogue
from model.bundle import open_bundle
from model.export.signatures import signatures
from tests.bundles import make_bundle
from tests.graphs import graphs
from tests.stores import event, flush, url

KEYS = """ratio_to_empty, ratio_to_naive, cpu_over_stages, two_workers_over_one, p99_ms_open_loop_65, million_over_100k,
recall_at_100, ranker_over_gemm_floor, rss_mb_per_worker"""


@pytest.mark.parametrize("even", [True, False])
def test_a_schedule_has_the_rate_it_was_told(even: bool) -> None:
    due = schedule(200.0, 50.0, even)
    assert len(due) == 10_000
    assert (np.diff(due) >= 0).all()
    assert due[-1] == pytest.approx(50.0, rel=0.03)


def test_even_arrivals_are_even_and_others_are_not() -> None:
    assert np.diff(schedule(100.0, 2.0, even=True)) == pytest.approx(0.01)
    gaps = np.diff(schedule(100.0, 100.0, even=False))
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # as of an exponential distribution


def test_late_is_sent_more_than_a_millisecond_after_it_was_due_or_never() -> None:
    due = np.asarray([1.0, 2.0, 3.0, 4.0])
    sent = np.asarray([1.0, 2.0009, 3.0011, np.nan])
    done = np.asarray([1.005, 2.003, 3.010, np.nan])
    found = summary(Record(due, sent, done))
    assert (found["requests"], found["late"], found["failed"]) == (4, 2, 1)


def test_latency_counts_from_when_a_request_was_due() -> None:
    due = np.zeros(101)
    found = summary(Record(due, due + 0.5, due + np.arange(101) / 1000))
    assert (found["p50_ms"], found["p99_ms"]) == (50.0, 99.0)


class Answers(BaseHTTPRequestHandler):
    """200 for most bodies, 500 for `bad`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500 if body == b"bad" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Patient(ThreadingHTTPServer):
    """Takes many connections at once."""

    request_queue_size = 256


@contextmanager
def answering() -> Iterator[int]:
    """The port of a server."""
    server: HTTPServer = Patient(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_generator_sends_all_in_turn_and_tells_good_answers_from_others() -> None:
    with answering() as port:
        asked = [request(port, body) for body in (b"good", b"bad", b"good", b"good")]
        record = Generator(port, asked, schedule(200.0, 0.2, even=True)).run()
    found = summary(record)
    assert (found["requests"], found["failed"]) == (40, 10)
    assert (record.sent >= record.due).all()
    assert np.isnan(record.done[1::4]).all()


def test_the_last_line_has_the_keys_that_were_asked_for() -> None:
    assert list(REACH) == KEYS.replace("\n", " ").split(", ")
    report = Report(dict.fromkeys(REACH, 1.0), [("something", 2.0, "µs")], ["so"])
    assert json.loads(json.dumps(report.figures)).keys() == REACH.keys()
    assert all(f"`{name}` | 1 |" in report.page() for name in REACH)


def test_a_ratio_is_of_the_same_repeat() -> None:
    def loops(*rates: float) -> list[Closed]:
        return [Closed(rate, (0.001,), 1.0, 2.0, 0) for rate in rates]

    loads = Loads({"one": loops(10, 30, 20), "two": loops(5, 10, 20)})
    assert loads.ratio("one", "two") == 2.0
    assert loads.rate("one") == 20.0
    assert Closed(1.0, (0.002, 0.001), 1.0, 1.0, 0).balance == 0.5
    assert Closed(1.0, (0.002, 0.001), 1.0, 1.0, 0).cpu_us == pytest.approx(3000.0)


def test_the_plain_ranker_says_what_the_served_one_says() -> None:
    torch.manual_seed(0)
    features = spec(text=False)
    ranker = made_model(features).ranker.eval()
    generator = np.random.default_rng(0)
    table = signatures(features, 1)["ranker"]
    inputs = {name: torch.from_numpy(axis.random({"B": 2, "C": 40, "L": 7}, generator)) for name, axis in table.items()}
    with torch.no_grad():
        served, plain = ranker(**inputs), PlainRanker(ranker).eval()(**inputs)
    assert (served - plain).abs().max() < 1e-5 * max(1.0, float(served.abs().max()))


def test_the_naive_pipeline_answers_what_the_service_answers(tmp_path: Path) -> None:
    path = make_bundle(tmp_path)
    seal(path)
    bundle = open_bundle(path)

    async def both() -> tuple[dict[str, float], dict[str, float]]:
        flush("valkey")
        store = open_store(url("valkey"), 10)
        await store.append([event(number, "u3", f"i{number}") for number in range(5)])
        recommender = Recommender(Engine(bundle, LiveCatalogue(bundle)), store)
        naive = NaivePipeline(path, path / "ranker.onnx", url("valkey"))
        real = await recommender.recommend(RecommendRequest(user_id="u3", n=10))
        other = await naive.answer(RecommendBody.model_validate({"user_id": "u3", "n": 10}))
        await asyncio.gather(recommender.close(), naive.close())
        await store.close()
        return {one.item_id: one.score for one in real.items}, {one["item_id"]: one["score"] for one in other["items"]}

    here, there = asyncio.run(both())
    assert list(here) == list(there)
    assert list(there.values()) == pytest.approx(list(here.values()), abs=1e-5)


def test_neighbours_are_of_the_same_cluster_each_once_and_never_the_item_itself() -> None:
    clusters = np.random.default_rng(0).permutation(60) % 4
    table = neighbours(clusters, 5)
    for row in range(60):
        found = table.of(row).rows
        assert len(set(found.tolist()) - {row}) == 5
        assert (clusters[found] == clusters[row]).all()


def test_users_keep_to_two_clusters() -> None:
    clusters = np.random.default_rng(0).permutation(1000) % 4
    met = tastes(World(1000, 30, False, 0.0), clusters, 20, np.random.default_rng(1))
    assert all(len(np.unique(clusters[rows])) <= 2 for rows in met)


def test_operations_grow_with_candidates_and_a_product_has_a_speed() -> None:
    path = graphs("tiny", 512, 16) / "ranker.onnx"
    few, many = (ranker_flops(path, {"B": 1, "C": count, "L": 10}) for count in (100, 300))
    assert 2 * few < many < 3 * few  # what is computed once a request does not grow
    assert gemm_flops_per_us() > 100
    assert Floor(flops=28_000, us=560.0, speed=100.0).share == pytest.approx(0.5)
