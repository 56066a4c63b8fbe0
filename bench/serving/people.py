"""The state of many users in a real store: what they did since the bundle was trained, and their cached vectors."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import redis

from app.pipeline.engine import Engine
from app.pipeline.request import RecommendRequest
from app.pipeline.user import UserInput
from app.state.keys import streams
from app.state.redis_store import RedisStore, open_store
from app.state.store import EVENTS, user_key
from bench.serving.world import DAY, World
from index.catalogue import LiveCatalogue
from model.bundle import Bundle, open_bundle
from model.events import Event

STORED = 10  # events of a user in the store, newer than those of the bundle
PAGE = 2_000
CONTEXT = {"device": "mobile"}
SEED = 1


def load_events(url: str, bundle: Path, world: World, users: int) -> None:
    """Every user's newest events, by the store's own append; the stream is left as a confirmed export leaves it."""
    asyncio.run(_load(url, list(_events(open_bundle(bundle), world, users))))
    with redis.Redis(unix_socket_path=url.removeprefix("unix://").partition("?")[0]) as client:
        for name in streams(EVENTS):
            client.xtrim(name, maxlen=0, approximate=False)


def _events(bundle: Bundle, world: World, users: int) -> Iterator[Event]:
    """Events of items that are near what a user met before, about five days ago; users beyond the bundle's are new."""
    generator = np.random.default_rng(SEED)
    table = bundle.neighbours("cooccurrence")
    for user in range(users):
        known = bundle.user_history(user % len(bundle.users)).rows
        near = [table.of(int(row)).rows for row in generator.choice(known, STORED)]
        times = np.sort(world.now - generator.uniform(4 * DAY, 6 * DAY, STORED)).tolist()
        for place, (rows, time) in enumerate(zip(near, times, strict=True)):
            item = f"i{rows[int(generator.integers(len(rows)))]}"
            told = {"device": ("mobile", "desktop")[place // 2 % 2]}
            yield Event(f"{user}-{place}", ("view", "like")[place % 2], f"u{user}", item, time, context=told)


async def _load(url: str, events: list[Event]) -> None:
    store = open_store(url, 30)
    for start in range(0, len(events), PAGE):
        await store.append(events[start : start + PAGE])
    await store.close()


def asking(users: int, count: int) -> list[int]:
    """Who asks, in order: `count` of the users, none twice."""
    chosen: list[int] = np.random.default_rng(SEED).permutation(users)[:count].tolist()
    return chosen


def body(user: int) -> bytes:
    """The body of a user's request."""
    return orjson.dumps({"user_id": f"u{user}", "n": 20, "context": CONTEXT})


def request_of(user: int) -> RecommendRequest:
    """The same request inside the process."""
    return RecommendRequest(user_id=f"u{user}", n=20, context=CONTEXT)


def keep_vectors(url: str, bundle: Path, asked: list[int]) -> None:
    """Give everyone who will ask a cached vector, as their last request would have left it."""
    opened = open_bundle(bundle)
    asyncio.run(_keep(url, Engine(opened, LiveCatalogue(opened)), asked))


async def _keep(url: str, engine: Engine, asked: list[int]) -> None:
    store = open_store(url, 30)
    for start in range(0, len(asked), 64):
        await asyncio.gather(*(_keep_one(store, engine, user) for user in asked[start : start + 64]))
    await store.close()


async def _keep_one(store: RedisStore, engine: Engine, user: int) -> None:
    key = user_key(f"u{user}")
    state = await store.read_user(key)
    made = engine.user_vector(engine.read(UserInput(f"u{user}", state), request_of(user)))
    await store.write_vector(key, made.values.astype("<f4").tobytes(), made.stamp, state.version)
