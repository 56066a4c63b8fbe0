"""The use case: one request, one answer.

State in one round trip → the engine on its own thread → answer; vector and impressions are written off the path.
Nothing here computes, so the event loop never waits for a processor; nothing personal is answered with the state away.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter, time
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from app.pipeline.answer import Answer
from app.pipeline.aside import Aside, NewVector
from app.pipeline.engine import Engine
from app.pipeline.ranked import Ranked, answered_items
from app.pipeline.request import RecommendRequest
from app.pipeline.stages import Observe, unobserved
from app.pipeline.user import UserInput
from app.state.store import Answer as Shown
from app.state.store import StateStore
from model.errors import PolyrankError, StateError
from model.events import Event

logger = logging.getLogger("polyrank.recommend")


class Recommender:
    """Answers requests for items from one engine and the state; one instance a bundle in service."""

    def __init__(self, engine: Engine, store: StateStore, observe: Observe = unobserved) -> None:
        self.engine, self._store, self._observe = engine, store, observe
        self._aside = Aside(store)
        self._thread = ThreadPoolExecutor(1, "polyrank-engine")  # one: networks and counters belong to one thread
        self._spare = ThreadPoolExecutor(1, "polyrank-fallback")

    async def recommend(self, request: RecommendRequest) -> Answer:
        """Answer one request; raises RequestError for what does not exist or lies outside its range, nothing else."""
        started = perf_counter()
        deadline = self._deadline(request)
        user = await self._user(request, deadline)
        self._observe("state", perf_counter() - started)
        ranked = await self._ranked(user, request, deadline)
        degraded = user.away or ranked.vector is None
        answer = Answer(
            recommendation_id=uuid4().hex,
            bundle=self.engine.bundle.version,
            items=answered_items(ranked, self.engine.task_names),
            fallback=ranked.fallback,
            degraded=degraded,
            took_ms=round((perf_counter() - started) * 1000, 3),
        )
        self._leave(request, user, ranked, answer)
        return answer

    async def user_vector(self, user: UserInput) -> NDArray[np.float32]:
        """A user's vector as of now, float32 [D]."""
        request, loop = RecommendRequest(user_id=user.user_id), asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.engine.vector_of, user, request)

    def learn(self, events: Sequence[Event]) -> None:
        """Count events of the stream, between two requests."""
        self._thread.submit(self.engine.apply_events, list(events)).add_done_callback(_log_failure)

    async def flush(self) -> None:
        """Return when what answers left behind is written."""
        await self._aside.flush()

    async def close(self) -> None:
        """Write what is left behind and let go of the threads."""
        await self._aside.flush()
        for pool in (self._thread, self._spare):
            await asyncio.to_thread(pool.shutdown)

    def _deadline(self, request: RecommendRequest) -> float | None:
        """The loop's time at which a cheaper answer is due, None for never."""
        given = request.timeout_ms or self.engine.settings.timeout_ms
        return None if given is None else asyncio.get_running_loop().time() + given / 1000

    async def _user(self, request: RecommendRequest, deadline: float | None) -> UserInput:
        """What the state holds of the user, in one round trip; `away` when it cannot be read in time."""
        key = request.user_key
        if key is None:
            return UserInput()
        try:
            async with asyncio.timeout_at(deadline):
                return UserInput(request.user_id, await self._store.read_user(key))
        except (StateError, TimeoutError) as error:
            logger.warning("state of a user not read: %s", error or "timeout")
            return UserInput(request.user_id, away=True)

    async def _ranked(self, user: UserInput, request: RecommendRequest, deadline: float | None) -> Ranked:
        """The engine's list, or the cheap one when it fails or is late."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline):
                return await loop.run_in_executor(self._thread, self.engine.recommend, user, request)
        except PolyrankError:
            raise
        except TimeoutError:
            pass  # what runs goes on to its end; what still waits in line was taken out of it
        except Exception:
            logger.exception("the engine failed; answering popular items")
        return await loop.run_in_executor(self._spare, self.engine.popular, request)

    def _leave(self, request: RecommendRequest, user: UserInput, ranked: Ranked, answer: Answer) -> None:
        """Hand over what is to be written: the impressions, and the user vector when it is new."""
        self._aside.note(shown(request, answer))
        vector, key = ranked.vector, request.user_key
        if vector is not None and vector.keep and key is not None:
            data = vector.values.astype("<f4").tobytes()
            self._aside.keep(NewVector(key, data, vector.stamp, user.state.version))


def shown(request: RecommendRequest, answer: Answer) -> Shown:
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
        context=dict(request.context),
    )


def _log_failure(done: Future[int]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        logger.error("events of the stream not counted", exc_info=error)
