"""What the service is measured against, each as a server of its own: run with a kind and print an address.

python -m bench.serving.servers empty
python -m bench.serving.servers http --bundle BUNDLE       our own HTTP layer with an answer that is always the same
python -m bench.serving.servers naive --bundle BUNDLE --ranker plain.onnx --redis URL
"""

import argparse
import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter, time
from typing import Any
from uuid import uuid4

import redis.asyncio
import uvicorn
from fastapi import FastAPI

from app import worker
from app.answers import RecommendAnswer
from app.bootstrap import open_live
from app.live_bundle import LiveBundle
from app.metrics import Metrics
from app.pipeline.answer import Answer
from app.pipeline.engine import Engine
from app.pipeline.ranked import Ranked, answered_items
from app.pipeline.recommend import Recommender
from app.pipeline.request import RecommendRequest
from app.pipeline.user import UserInput
from app.routes.recommend import to_request
from app.service import Service
from app.settings import Settings
from app.sockets import address_of, bound_socket
from app.state.keys import stream, user_keys
from app.state.memory import MemoryStore
from app.state.packing import pack_answer, unpack_profile
from app.state.store import IMPRESSIONS, PastEvent, UserState
from app.state.store import Answer as Shown
from app.wire import RecommendBody
from index.catalogue import LiveCatalogue
from model.bundle import open_bundle
from model.features.sessions import open_session

IMPRESSIONS_MOST = 100_000


def empty_app() -> FastAPI:
    """FastAPI with a pydantic body and nothing behind it."""
    app = FastAPI()

    @app.post("/recommend")
    async def recommend(body: RecommendBody) -> dict[str, int]:
        return {"n": body.n}

    return app


class Same:
    """A recommender that answers everybody the same; the rest of the service stays real."""

    def __init__(self, real: Recommender, answer: Answer) -> None:
        self._answer, self.user_vector, self.recommend_scenes = answer, real.user_vector, real.recommend_scenes
        self.learn, self.close = real.learn, real.close

    async def recommend(self, request: RecommendRequest) -> Answer:  # noqa: ARG002  # the interface
        """The answer."""
        return self._answer


def http_service(bundle: Path) -> Service:
    """The service with everything of HTTP and nothing of recommending."""
    settings, metrics, store = Settings.checked({"bundle": bundle, "bundles": bundle.parent}), Metrics(), MemoryStore()
    return Service(settings, store, partial(_open_same, settings=settings, store=store, metrics=metrics), metrics)


def _open_same(path: Path, settings: Settings, store: MemoryStore, metrics: Metrics) -> LiveBundle:
    live = open_live(path, settings, store, metrics)
    real = live.recommender
    assert isinstance(real, Recommender)
    ranked = real.engine.recommend(UserInput("u0"), RecommendRequest(user_id="u0"))
    items = answered_items(ranked, real.engine.task_names)
    return replace(live, recommender=Same(real, Answer(uuid4().hex, live.version, items, None, False, 1.0)))


async def serve_http(bundle: Path) -> None:
    """Serve `http_service`."""
    sock = bound_socket("127.0.0.1", 0)
    service = http_service(bundle)
    await service.start()
    announce(address_of(sock))
    await uvicorn.Server(worker.configured(service)).serve([sock])
    await service.stop()


class NaivePipeline:
    """As one writes it first: a call for each key, one after another, the plain ranker, impressions on the path."""

    def __init__(self, bundle: Path, ranker: Path, url: str) -> None:
        self.bundle = open_bundle(bundle)
        self.engine = Engine(self.bundle, LiveCatalogue(self.bundle))
        self.engine.networks.ranker = open_session(ranker)
        self._redis: Any = redis.asyncio.Redis(unix_socket_path=url.removeprefix("unix://").partition("?")[0])
        self._thread = ThreadPoolExecutor(1)

    async def answer(self, body: RecommendBody) -> dict[str, Any]:
        """The same answer as the service's, as plain data."""
        started, request = perf_counter(), to_request(body)
        key = request.user_key
        user = UserInput(request.user_id, UserState() if key is None else await self._state(key))
        ranked = await asyncio.get_running_loop().run_in_executor(self._thread, self.engine.recommend, user, request)
        await self._log(request, ranked)
        items = answered_items(ranked, self.engine.task_names)
        listed = [
            {"item_id": one.item_id, "score": one.score, "task_scores": one.task_scores, "channels": one.channels}
            for one in items
        ]
        took = round((perf_counter() - started) * 1000, 3)
        said = {"recommendation_id": uuid4().hex, "bundle": self.bundle.version, "items": listed}
        return said | {"fallback": ranked.fallback, "degraded": False, "took_ms": took}

    async def close(self) -> None:
        """Let go of the connection and the thread."""
        await self._redis.aclose()
        self._thread.shutdown()

    async def _state(self, key: str) -> UserState:
        keys = user_keys(key)
        told = await self._redis.hgetall(keys.meta)
        lines = await self._redis.zrange(keys.log, -200, -1)
        seen = await self._redis.smembers(keys.seen)
        await self._redis.hget(keys.erased, key)
        return UserState(
            [_past(line) for line in lines],
            frozenset(one.decode() for one in seen),
            unpack_profile(told.get(b"p")),
            told.get(b"x"),
            told.get(b"s", b"").decode(),
            int(told.get(b"w", 0)),
            int(told.get(b"v", 0)),
        )

    async def _log(self, request: RecommendRequest, ranked: Ranked) -> None:
        key = request.user_key or ""
        shown = Shown(
            recommendation_id=uuid4().hex,
            user=request.user_id or "",
            timestamp=time(),
            item_ids=list(ranked.item_ids),
            scores=ranked.scores.tolist(),
            propensities=[1.0] * len(ranked),
            session_id=request.session_id,
            bundle=self.bundle.version,
            context=dict(request.context),
        )
        name = stream(IMPRESSIONS, user_keys(key).partition)
        await self._redis.xadd(name, {"k": key, "d": pack_answer(shown)}, maxlen=IMPRESSIONS_MOST // 16)


def _past(line: bytes) -> PastEvent:
    _, *told = json.loads(line)
    return PastEvent(*told)


def naive_app(pipeline: NaivePipeline) -> FastAPI:
    """FastAPI as its tutorial has it: the answer goes through `response_model`."""
    app = FastAPI()

    @app.post("/recommend", response_model=RecommendAnswer)
    async def recommend(body: RecommendBody) -> dict[str, Any]:
        return await pipeline.answer(body)

    return app


async def serve_app(app: FastAPI) -> None:
    """Serve an application with the same server as the service has."""
    sock = bound_socket("127.0.0.1", 0)
    announce(address_of(sock))
    config = uvicorn.Config(app, loop="none", http="httptools", lifespan="off", log_config=None, access_log=False)
    await uvicorn.Server(config).serve([sock])


def announce(address: str) -> None:
    """Say where the server is."""
    print(f"ready on {address}", flush=True)


def main() -> None:
    """Run one kind of server until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("empty", "http", "naive"))
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--ranker", type=Path)
    parser.add_argument("--redis", default="")
    told = parser.parse_args()
    if told.kind == "http":
        worker.run(serve_http(told.bundle))
    else:
        naive = told.kind == "naive"
        worker.run(serve_app(naive_app(NaivePipeline(told.bundle, told.ranker, told.redis)) if naive else empty_app()))


if __name__ == "__main__":
    main()
