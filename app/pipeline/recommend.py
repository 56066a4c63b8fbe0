"""The use case: one request, one answer.

State in one round trip → the engine → answer; vector and impressions are written off the path. Nothing personal is
answered with the state away. Whatever waits when the engine is free is answered together: a batch is a third cheaper a
request (networks run once for all, caches are filled once), and nobody waits for it to fill, but with a card, which
takes little longer for many than for one (`settings.wait_ms`).
The engine runs on the event loop itself while it takes a few milliseconds and deadlines are far away: handing over to a
thread and back costs a tenth of a request, since both want the same interpreter lock. Where it takes longer, or a
deadline is near, it has its own thread, and the loop answers something cheaper in time.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from os import urandom
from time import perf_counter, time
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.pipeline.answer import Answer
from app.pipeline.aside import Aside, NewVector
from app.pipeline.batcher import Batcher
from app.pipeline.engine import Engine
from app.pipeline.many import recommend_many
from app.pipeline.ranked import Ranked, answered_items
from app.pipeline.request import RecommendRequest
from app.pipeline.scenes import AnsweredScene, best_scenes, scene_requests
from app.pipeline.stages import Observe, unobserved
from app.pipeline.user import UserInput
from app.state.store import Answer as Shown
from app.state.store import StateStore
from model.errors import PolyrankError, StateError
from model.events import Event
from model.features.spec import Value

IDS_AT_ONCE = 256
LOOP_MOST_S = 0.03  # a batch that takes longer is kept off the event loop, and smaller ones are made
AHEAD = 10  # and so is one whose deadline is not so many times further away

T = TypeVar("T")
logger = logging.getLogger("polyrank.recommend")


class Waiting(NamedTuple):
    """A request that waits for the engine: whose it is, and the loop's time at which it is due (None: never)."""

    user: UserInput
    request: RecommendRequest
    deadline: float | None


class Recommender:
    """Answers requests for items from one engine and the state; one instance a bundle in service.

    `target` "user": its items are people. Their impressions say so, and the state's vectors are not theirs.
    """

    def __init__(
        self, engine: Engine, store: StateStore, observe: Observe = unobserved, target: Literal["item", "user"] = "item"
    ) -> None:
        self.engine, self._store, self._observe, self._target = engine, store, observe, target
        self._aside, self._ids = Aside(store), new_ids()
        self._thread = ThreadPoolExecutor(1, "polyrank-engine")  # one: networks and counters belong to one thread
        self._turn = asyncio.Lock()  # who holds it has the engine, on whichever thread; others wait in line
        self._batches = Batcher(self._many, self._most, engine.settings.wait_ms / 1000)
        self._learning: set[asyncio.Task[int]] = set()
        self._lately = inf  # seconds the engine took lately for a request, rather the longer ones
        self._spare = ThreadPoolExecutor(1, "polyrank-fallback")

    async def recommend(self, request: RecommendRequest) -> Answer:
        """Answer one request; raises RequestError for what does not exist or lies outside its range, nothing else."""
        answer = await self._answered(request)
        self._aside.note(shown(request, answer, self._target))
        return answer

    async def recommend_scenes(self, request: RecommendRequest) -> list[AnsweredScene]:
        """The n best of the scenes that suit the context, each with its list; only what is answered is an impression.

        Raises RequestError as `recommend` does, and where the recipe declares no scenes.
        """
        names = self.engine.suiting_scenes(request)
        asked = scene_requests(request, names)
        found = best_scenes(names, await asyncio.gather(*map(self._answered, asked)), request.n)
        for one in found:
            told = asked[names.index(one.scene)]
            self._aside.note(shown(told, one.answer, self._target))
        return found

    async def _answered(self, request: RecommendRequest) -> Answer:
        started, deadline = perf_counter(), self._deadline(request)
        unread = user = UserInput(request.user_id, away=request.user_key is not None)
        ranked: Ranked | None = None
        try:
            async with asyncio.timeout_at(deadline):
                with self._batches.expected():
                    user = await self._user(request)
                self._observe("state", perf_counter() - started)
                ranked = await self._batches.ask(Waiting(user, request, deadline))
        except PolyrankError:
            raise
        except TimeoutError:  # what runs goes on to its end; what still waits in line was taken out of it
            if user is unread:
                logger.warning("state of a user not read: timeout")
        except Exception:
            logger.exception("the engine failed; answering popular items")
        if ranked is None:
            ranked = await asyncio.get_running_loop().run_in_executor(self._spare, self.engine.popular, request)
        answer = Answer(
            recommendation_id=next(self._ids),
            bundle=self.engine.bundle.version,
            items=answered_items(ranked, self.engine.task_names),
            fallback=ranked.fallback,
            degraded=user.away or ranked.vector is None,
            took_ms=round((perf_counter() - started) * 1000, 3),
        )
        self._keep(request, user, ranked)
        return answer

    async def user_vector(self, user: UserInput) -> NDArray[np.float32]:
        """A user's vector as of now, float32 [D]."""
        await self._turn.acquire()
        return await self._on_thread(self.engine.vector_of, user, RecommendRequest(user_id=user.user_id))

    def learn(self, events: Sequence[Event]) -> None:
        """Count events of the stream, between two requests."""
        task = asyncio.get_running_loop().create_task(self._learn(list(events)), name="learn")
        self._learning.add(task)
        task.add_done_callback(self._learning.discard)
        task.add_done_callback(_log_failure)

    async def flush(self) -> None:
        """Return when what answers left behind is written."""
        await self._aside.flush()

    async def close(self) -> None:
        """Write what is left behind and let go of the threads."""
        await self._batches.close()
        await asyncio.gather(self._aside.flush(), *self._learning, return_exceptions=True)
        for pool in (self._thread, self._spare):
            await asyncio.to_thread(pool.shutdown)

    def _deadline(self, request: RecommendRequest) -> float | None:
        """The loop's time at which a cheaper answer is due, None for never."""
        given = request.timeout_ms or self.engine.settings.timeout_ms
        return None if given is None else asyncio.get_running_loop().time() + given / 1000

    async def _user(self, request: RecommendRequest) -> UserInput:
        """What the state holds of the user, in one round trip; `away` when it cannot be read."""
        key = request.user_key
        if key is None:
            return UserInput()
        try:
            return UserInput(request.user_id, await self._store.read_user(key), kept=self._target == "item")
        except StateError as error:
            logger.warning("state of a user not read: %s", error)
            return UserInput(request.user_id, away=True)

    def _most(self) -> int:
        """The longest batch now: what the event loop can be kept for, if it is to run there."""
        most = self.engine.settings.together
        return most if self._lately > LOOP_MOST_S else max(1, min(most, int(LOOP_MOST_S / self._lately)))

    async def _many(self, asked: Sequence[Waiting]) -> Sequence[Ranked | Exception]:
        """The engine's lists for requests that came together; those that were due meanwhile have had another answer."""
        await self._turn.acquire()
        now = asyncio.get_running_loop().time()
        late = [one.deadline is not None and one.deadline <= now for one in asked]
        waiting = [one for one, is_late in zip(asked, late, strict=True) if not is_late]
        found = iter(await self._lists(waiting, now))
        return [TimeoutError() if is_late else next(found) for is_late in late]

    async def _lists(self, asked: Sequence[Waiting], now: float) -> Sequence[Ranked | Exception]:
        """The engine's lists, on the thread that suits them; ends the turn."""
        if not self._at_once(asked, now):
            return await self._on_thread(self._timed, asked)
        try:
            return self._timed(asked)
        finally:
            self._turn.release()

    def _at_once(self, asked: Sequence[Waiting], now: float) -> bool:
        """Whether the event loop may compute these answers itself."""
        if self.engine.settings.device != "cpu" or any(one.request.query for one in asked):
            return False
        left = min((one.deadline - now for one in asked if one.deadline is not None), default=inf)
        return not asked or self._lately * len(asked) <= min(LOOP_MOST_S, left / AHEAD)

    def _timed(self, asked: Sequence[Waiting]) -> Sequence[Ranked | Exception]:
        """The engine's lists; notes how long they took."""
        started = perf_counter()
        try:
            return recommend_many(self.engine, [(one.user, one.request) for one in asked])
        finally:
            took = (perf_counter() - started) / max(len(asked), 1)
            self._lately = took if took > self._lately or self._lately == inf else 0.9 * self._lately + 0.1 * took

    async def _learn(self, events: Sequence[Event]) -> int:
        await self._turn.acquire()
        return await self._on_thread(self.engine.apply_events, events)

    async def _on_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Use the turn on the engine's thread; it ends when the function does, however long anybody waits for that."""
        loop, job = asyncio.get_running_loop(), self._thread.submit(function, *arguments)
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._turn.release))
        return await asyncio.wrap_future(job)

    def _keep(self, request: RecommendRequest, user: UserInput, ranked: Ranked) -> None:
        """Hand over the user vector to be written when it is new."""
        vector, key = ranked.vector, request.user_key
        if vector is not None and vector.keep and key is not None:
            data = vector.values.astype("<f4").tobytes()
            self._aside.keep(NewVector(key, data, vector.stamp, user.state.version))


def new_ids() -> Iterator[str]:
    """Random ids of 32 hexadecimal digits without end, many out of one system call."""
    while True:
        digits = urandom(16 * IDS_AT_ONCE).hex()
        yield from (digits[start : start + 32] for start in range(0, len(digits), 32))


def shown(request: RecommendRequest, answer: Answer, target: str = "item") -> Shown:
    """The impressions of an answer as the stream keeps them."""
    anonymous = request.user_id is None
    return Shown(
        recommendation_id=answer.recommendation_id,
        user=(request.session_id or "") if request.user_id is None else request.user_id,
        timestamp=time() if request.now is None else request.now,
        item_ids=[one.item_id for one in answer.items],
        scores=[one.score for one in answer.items],
        propensities=[one.propensity for one in answer.items],
        session_id=request.session_id if anonymous or request.session_id != request.user_id else None,
        bundle=answer.bundle,
        context=_told(request, target),
    )


def _told(request: RecommendRequest, target: str) -> dict[str, Value]:
    """The context of impressions, with what was asked for where that is not items of the whole catalogue."""
    told = dict(request.context)
    if target != "item":
        told["target"] = target
    if request.scene is not None:
        told["scene"] = request.scene
    return told


def _log_failure(done: asyncio.Task[int]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        logger.error("events of the stream not counted", exc_info=error)
