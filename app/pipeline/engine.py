"""The synchronous heart: requests in, ranked lists out. No Redis, no asyncio; HTTP and batch run this code.

Requests that come together go through it stage by stage: networks and index run once for all of them, and what a stage
needs (its code, its tables, its weights) is fetched into the caches once. One request is a batch of one.
An Engine belongs to one thread at a time: the counters it ranks with move on in `apply_events`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import time
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.pipeline.asked import Asked, Reader
from app.pipeline.blend import blended
from app.pipeline.channels import ChannelRequest, NeighbourChannel, spec_channels
from app.pipeline.channels.fresh import FreshChannel
from app.pipeline.channels.popular import PopularChannel
from app.pipeline.channels.query import QueryChannel
from app.pipeline.explain import Explainer
from app.pipeline.fallback import POPULAR, popular_answer
from app.pipeline.live import Live
from app.pipeline.merge import Candidates, merge
from app.pipeline.rank import Networks
from app.pipeline.ranked import Ranked
from app.pipeline.request import RecommendRequest
from app.pipeline.rerank import item_similarity, reordered
from app.pipeline.scenes import suiting
from app.pipeline.settings import EngineSettings
from app.pipeline.stack import near
from app.pipeline.stages import Observe, Stages, unobserved
from app.pipeline.user import UserInput
from app.pipeline.vector import UserVector, cached_vector, may_keep, stamp_of
from index.catalogue import LiveCatalogue
from index.encode import ItemEncoder
from index.view import View
from model.bundle import Bundle
from model.errors import RequestError
from model.events import Event
from model.features.again import once_more
from model.features.counters import ItemCounters
from model.features.neighbours import Evidence
from model.features.ranking import Inputs, Judged, ranker_batch
from model.ids import NO_ROW

TOWER = "tower"  # how the answer names items that only filled up a short list
QUERY_LEAST, QUERY_TIMES = 10, 2  # so many of the closest texts are ranked, and so many times the list's length
Offers = dict[str, Evidence]
Batch = tuple[list[int], Inputs]  # places of requests, and what the ranker reads of them
T = TypeVar("T")


class Engine:
    """Recommends from one bundle, its live catalogue and its live counters."""

    def __init__(
        self,
        bundle: Bundle,
        catalogue: LiveCatalogue,
        counters: ItemCounters | None = None,
        settings: EngineSettings | None = None,
        observe: Observe = unobserved,
    ) -> None:
        self.bundle, self.catalogue, self.stages = bundle, catalogue, Stages(observe)
        self.settings = settings or EngineSettings.of_bundle(bundle)
        self.live = Live(bundle, bundle.counters() if counters is None else counters)
        self.networks = Networks(bundle, self.settings.device)
        self._reader, self._explainer = Reader(bundle, catalogue, self.settings), Explainer(bundle)
        self._channels = spec_channels(bundle)
        self.tables = {one.name: one.table for one in self._channels if isinstance(one, NeighbourChannel)}
        self._popular = PopularChannel(self.live.popularity, self.settings.popular)
        self._fresh = FreshChannel(self.live.freshness, self.settings.fresh)
        self._query, self._texts = QueryChannel(self.settings.query), ItemEncoder(bundle, self.settings.device)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of `Ranked.values`."""
        return tuple(task.name for task in self.bundle.spec.tasks)

    def apply_events(self, events: Sequence[Event]) -> int:
        """Count events of the stream, so that shares, popular and fresh items follow it; how many were counted."""
        return self.live.apply(self.catalogue.view, events)

    def apply_event(self, event: Event) -> bool:
        """Count one event; False for one of an unknown item or type, or one that the bundle was trained on."""
        return self.apply_events([event]) == 1

    def recommend(self, user: UserInput, request: RecommendRequest) -> Ranked:
        """The whole path of one request; raises RequestError for what does not exist or lies outside its range."""
        return self.ranked([self.read(user, request)])[0]

    def ranked(self, asked: Sequence[Asked]) -> list[Ranked]:
        """The lists of requests that came together."""
        run = self.stages.run
        vectors = run("vector", self.user_vectors, asked)
        recalls = [
            ChannelRequest(one.moment, vector.values, one.unmet, one.context)
            for one, vector in zip(asked, vectors, strict=True)
        ]
        evidence = run("recall", self.evidence, recalls)
        found = run("merge", _each, self._candidates, asked, recalls, evidence)
        batches = run("features", self._batches, recalls, found, evidence)
        values = run("rank", self._values, batches)
        return run("answer", _each, self._answer, asked, vectors, found, values)

    def score(self, user: UserInput, request: RecommendRequest, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """Calibrated outputs of all tasks for some items, float32 [len(item_ids), T]; RequestError for unknown ones."""
        asked = self.read(user, request)
        rows = np.asarray([asked.view.row(one) for one in item_ids], np.int64)
        if (rows == NO_ROW).any():
            raise RequestError("item_id", item_ids[int(np.argmax(rows == NO_ROW))], "ask for items of the catalogue")
        recall = ChannelRequest(asked.moment, self.user_vector(asked).values, asked.unmet, asked.context)
        values: NDArray[np.float32] = self.networks.values(self.inputs(recall, rows, self.evidence([recall])[0]))[0]
        return values

    def suiting_scenes(self, request: RecommendRequest) -> list[str]:
        """Names of the scenes that suit a request's context; raises RequestError where the recipe declares none."""
        scenes = self.catalogue.view.base.scenes
        if not scenes:
            raise RequestError("target", "scene", "ask for items or users: the recipe declares no scenes")
        now = time() if request.now is None else request.now
        return suiting(scenes, self._reader.context.values(request.context, now))

    def popular(self, request: RecommendRequest) -> Ranked:
        """The cheap path: popular items by context, without state and networks; also from another thread."""
        asked = self._reader.read(UserInput(request.user_id, away=True), request)
        nobody = ChannelRequest(asked.moment, np.zeros(self.bundle.spec.dim, np.float32), asked.allowed, asked.context)
        return popular_answer(asked, self._popular.offer(nobody))

    def read(self, user: UserInput, request: RecommendRequest) -> Asked:
        """The request in rows; raises RequestError for what does not exist or lies outside its range."""
        asked = self._reader.read(user, request)
        self.live.cover(asked.view)
        return asked

    def vector_of(self, user: UserInput, request: RecommendRequest) -> NDArray[np.float32]:
        """A user's vector, float32 [D]."""
        return self.user_vector(self.read(user, request)).values

    def user_vector(self, asked: Asked) -> UserVector:
        """The vector of one request."""
        return self.user_vectors([asked])[0]

    def user_vectors(self, asked: Sequence[Asked]) -> list[UserVector]:
        """Each user's vector: the cached one when it answers for this very history, profile and context, else new."""
        stamps = [stamp_of(self.bundle, one) for one in asked]
        known = [cached_vector(self.bundle, one, stamp) for one, stamp in zip(asked, stamps, strict=True)]
        unknown = [one for one, vector in zip(asked, known, strict=True) if vector is None]
        made = iter(self.networks.user_vectors([(one.moment, one.view) for one in unknown]))
        return [
            UserVector(next(made), stamp, may_keep(one)) if vector is None else UserVector(vector, stamp, keep=False)
            for one, stamp, vector in zip(asked, stamps, known, strict=True)
        ]

    def evidence(self, requests: Sequence[ChannelRequest]) -> list[Offers]:
        """What the spec's channels offer each request; the ranker reads these lists whoever found the candidates."""
        offers = {channel.name: channel.offers(requests) for channel in self._channels}
        return [{name: lists[place] for name, lists in offers.items()} for place in range(len(requests))]

    def inputs(self, recall: ChannelRequest, rows: NDArray[np.int64], evidence: Offers) -> Inputs:
        """What the ranker reads of rows for one request."""
        return self._read([Judged(recall.moment, recall.vector, rows, evidence)], recall.allowed.view)

    def _read(self, judged: Sequence[Judged], view: View) -> Inputs:
        """What the ranker reads of some users' candidates in one view of the catalogue."""
        return ranker_batch(self.bundle.spec, judged, view, self.live.counters, self.tables)

    def _batches(
        self, recalls: Sequence[ChannelRequest], found: Sequence[Candidates], evidence: Sequence[Offers]
    ) -> list[Batch]:
        """What the ranker reads of the candidates, in batches of similar length over one view each."""
        views: dict[int, list[int]] = {}
        for place, one in enumerate(recalls):
            views.setdefault(id(one.allowed.view), []).append(place)
        made = []
        for group in views.values():
            for some in near([len(found[place]) for place in group]):
                places = [group[one] for one in some]
                judged = [Judged(recalls[p].moment, recalls[p].vector, found[p].rows, evidence[p]) for p in places]
                view = recalls[places[0]].allowed.view
                made.append((places, self._read(judged, view)))
        return made

    def _values(self, batches: Sequence[Batch]) -> list[NDArray[np.float32]]:
        """What the ranker says of each request's candidates and, behind them, of padding, float32 [C or more, T]."""
        said = {
            place: values
            for places, inputs in batches
            for place, values in zip(places, self.networks.values(inputs), strict=True)
        }
        return [said[place] for place in range(len(said))]

    def _candidates(self, asked: Asked, recall: ChannelRequest, evidence: Offers) -> Candidates:
        """Merged offers; when they do not fill the list, the tower's search fills it from all that is allowed."""
        offers, quotas = self._offers(asked, recall, evidence), dict(self.settings.quotas)
        limit = max(self.settings.candidates, asked.request.n)
        found = merge(offers, quotas, limit)
        if len(found) >= asked.request.n:
            return found
        quotas.pop(TOWER, None)
        return merge({**offers, TOWER: asked.allowed.search(recall.vector, limit)}, quotas, limit)

    def _offers(self, asked: Asked, recall: ChannelRequest, evidence: Offers) -> Offers:
        """Who may add candidates: a query alone; for nobody in particular popular and fresh alone; else all."""
        query = self._texts.strings([asked.query])[0]
        if query.any():
            wanted = max(QUERY_LEAST, QUERY_TIMES * asked.request.n)
            searched = replace(recall, query=query, allowed=asked.allowed)
            return {self._query.name: self._query.offer(searched).top(wanted)}
        cheap = {channel.name: channel.offer(recall) for channel in (self._popular, self._fresh)}
        if not asked.request.exclude_seen:
            had = once_more(asked.moment.history.rows)
            cheap["again"] = asked.allowed.best(had, len(had))
        return {**evidence, **cheap} if asked.personal else cheap

    def _answer(self, asked: Asked, vector: UserVector, found: Candidates, values: NDArray[np.float32]) -> Ranked:
        request, view, values = asked.request, asked.view, values[: len(found)]
        scores = blended(self.bundle.spec.tasks, values, asked.weights)
        diversity = self.settings.diversity if request.diversity is None else request.diversity
        order = reordered(found.rows, scores, request.n, diversity, lambda rows: item_similarity(view, rows))
        channels = found.channels(order)
        chosen = found.rows[order]
        reasons = self._explainer.reasons(asked, chosen, values[order], channels) if request.explain else None
        return Ranked(
            item_ids=tuple(view.ids.at(chosen.tolist())),
            scores=scores[order],
            values=values[order],
            channels=channels,
            reasons=reasons,
            fallback=None if asked.personal else POPULAR,
            vector=vector,
        )


def _each(step: Callable[..., T], *columns: Sequence[object]) -> list[T]:
    """The step for each request, its arguments one of each column."""
    return [step(*one) for one in zip(*columns, strict=True)]
