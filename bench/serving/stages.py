"""Each stage of a request alone, in this process: CPU microseconds, the mean over many users.

CPU time and not the clock, so that others on the machine do not count. Each is measured for TOGETHER requests at a
time, as the service runs it when that many wait: `engine` stages are told by the engine itself, batch after batch with
nothing between; the rest is called here.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from app.pipeline.answer import Answer
from app.pipeline.aside import Aside
from app.pipeline.asked import Asked
from app.pipeline.channels import ChannelRequest, spec_channels
from app.pipeline.engine import Engine
from app.pipeline.many import Person, recommend_many
from app.pipeline.merge import merge
from app.pipeline.ranked import Ranked, answered_items
from app.pipeline.recommend import shown
from app.pipeline.request import RecommendRequest
from app.pipeline.user import UserInput
from app.state.redis_store import RedisStore, open_store
from app.state.store import UserState, user_key
from bench.serving.people import request_of
from index.catalogue import LiveCatalogue
from model.bundle import open_bundle
from model.features.ranking import ranker_inputs, user_tower_inputs

T = TypeVar("T")
PARTS_OF = 400  # users the parts are measured with
TOGETHER = 8  # requests at a time, about as many as the closed loop has the service answer together


@dataclass(frozen=True)
class Stages:
    """CPU microseconds: `path`, the stages that every request has, by name; `inside`, parts of those and others."""

    path: dict[str, float]
    inside: dict[str, float]

    @property
    def total(self) -> float:
        """Of one request."""
        return sum(self.path.values())


class Lap:
    """CPU time between two stages, as Observe."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._last = 0.0

    def start(self) -> None:
        """A request begins."""
        self._last = time.thread_time()

    def observe(self, stage: str, _: float) -> None:
        """A stage has ended."""
        now = time.thread_time()
        self.spent[stage] += now - self._last
        self._last = now


def measured(url: str, bundle: Path, asked: Sequence[int]) -> Stages:
    """All stages but HTTP, which is measured as a server (`servers.py`)."""
    states, read_us, log_us = asyncio.run(_state_stages(url, bundle, asked))
    lap = Lap()
    opened = open_bundle(bundle)
    engine = Engine(opened, LiveCatalogue(opened), observe=lap.observe)
    users = [(UserInput(f"u{user}", state), request_of(user)) for user, state in zip(asked, states, strict=True)]
    recommend_many(engine, users[:50])
    path = _spent(engine, lap, users, TOGETHER)
    alone = {f"{stage}, a request at a time": spent for stage, spent in _spent(engine, lap, users, 1).items()}
    return Stages({"state": read_us, **path, "impressions": log_us}, alone | _parts(engine, users))


def _spent(engine: Engine, lap: Lap, users: Sequence[Person], together: int) -> dict[str, float]:
    """CPU microseconds a request by stage, for so many requests at a time."""
    lap.spent.clear()
    for start in range(0, len(users), together):
        lap.start()
        for ranked in recommend_many(engine, users[start : start + together]):
            assert isinstance(ranked, Ranked)
            answered_items(ranked, engine.task_names)
        lap.observe("items", 0.0)
    return {stage: spent / len(users) * 1e6 for stage, spent in lap.spent.items()}


async def _state_stages(url: str, bundle: Path, asked: Sequence[int]) -> tuple[list[UserState], float, float]:
    """The users' states, and what reading one and logging an answer cost."""
    store = open_store(url, 30)
    await _read(store, asked[:50])
    started = time.process_time()
    states = await _read(store, asked)
    read_us = (time.process_time() - started) / len(asked) * 1e6
    opened = open_bundle(bundle)
    engine, request = Engine(opened, LiveCatalogue(opened)), request_of(asked[0])
    items = answered_items(engine.recommend(UserInput(request.user_id, states[0]), request), engine.task_names)
    answer = Answer("0" * 32, opened.version, items, None, False, 1.0)
    log_us = await _logged(store, request, answer, len(asked))
    await store.close()
    return states, read_us, log_us


async def _read(store: RedisStore, asked: Sequence[int]) -> list[UserState]:
    found: list[UserState] = []
    for start in range(0, len(asked), TOGETHER):
        keys = [user_key(f"u{user}") for user in asked[start : start + TOGETHER]]
        found += await asyncio.gather(*(store.read_user(key) for key in keys))
    return found


async def _logged(store: RedisStore, request: RecommendRequest, answer: Answer, count: int) -> float:
    """CPU microseconds of handing over one answer's impressions and writing them, in batches as full as they get.

    A service writes fewer at a time, but it does not wake from an idle pause for each batch either.
    """
    aside = Aside(store)
    started = time.process_time()
    for _ in range(count):
        aside.note(shown(request, answer))
    await aside.flush()
    return (time.process_time() - started) / max(count, 1) * 1e6


def _parts(engine: Engine, users: Sequence[Person]) -> dict[str, float]:
    """What the stages are made of, and the user tower, which runs when a user has done something since."""
    spent: dict[str, list[float]] = defaultdict(list)
    for user, request in users[:PARTS_OF]:
        _part(engine, engine.read(user, request), spent)
    return {name: float(np.mean(times)) * 1e6 for name, times in spent.items()}


def _part(engine: Engine, asked: Asked, spent: dict[str, list[float]]) -> None:
    spec, view, moment, nets = engine.bundle.spec, asked.view, asked.moment, engine.networks
    tower = _timed(spent, "user tower: features", lambda: user_tower_inputs(spec, moment, view))
    _timed(spent, "user tower: network", lambda: nets.tower.run(["user_vector"], tower))
    vector = engine.user_vector(asked).values
    recall = ChannelRequest(moment, vector, asked.allowed, asked.context)
    offers = {
        one.name: _timed(spent, f"recall: {one.name}", partial(one.offer, recall))
        for one in spec_channels(engine.bundle)
    }
    rows = merge(offers, engine.settings.quotas, engine.settings.candidates).rows
    counters = engine.live.counters
    read = partial(ranker_inputs, spec, moment, vector, rows, offers, view, counters, engine.tables)
    inputs = _timed(spent, "rank: features", read)
    _timed(spent, "rank: network", lambda: nets.ranker.run(["logits"], inputs))


def _timed(spent: dict[str, list[float]], name: str, function: Callable[[], T]) -> T:
    started = time.thread_time()
    made = function()
    spent[name].append(time.thread_time() - started)
    return made
