"""POST /recommend: the request of the wire to the pipeline, its answer back as bytes."""

from dataclasses import replace
from time import perf_counter
from uuid import uuid4

import orjson

from app.answers import RecommendAnswer
from app.auth import READERS
from app.live_bundle import LiveBundle
from app.pipeline.answer import Answer, AnsweredItem
from app.pipeline.request import RecommendRequest, SessionEvent
from app.problems import invalid_field
from app.routes.endpoint import Call, Operation, Reply, reply
from app.service import Service
from app.wire import PastEvent, RecommendBody

EXAMPLES = {
    "a known user": {"user_id": "42", "n": 3},
    "an anonymous session": {
        "session_id": "s-1",
        "n": 3,
        "history": [{"item_id": "50", "type": "rating", "value": 5}],
        "context": {"hour": 20},
    },
    "whom to befriend": {"user_id": "42", "n": 3, "target": "user"},
    "which shelves to show": {"user_id": "42", "n": 3, "target": "scene", "context": {"hour": 20}},
    "everything": {
        "user_id": "42",
        "n": 10,
        "query": "space opera",
        "filter": {"include": {"genres": ["Comedy", "Sci-Fi"]}, "exclude": {"release_year": [{"max": 1970}]}},
        "exclude_items": ["181"],
        "exclude_seen": True,
        "task_weights": {"interest": 1.0, "like": 2.0},
        "diversity": 0.3,
        "explain": True,
        "timeout_ms": 50,
    },
}
EXAMPLE = {
    "recommendation_id": "0197f2c3a1b27e5b8f0d3a6c9e4b1d20",
    "bundle": "20261124-1612-3f9a",
    "items": [
        {
            "item_id": "172",
            "score": 0.81,
            "task_scores": {"interest": 0.74, "like": 0.88},
            "channels": ["tower", "cooccurrence"],
        }
    ],
    "fallback": None,
    "degraded": False,
    "took_ms": 2.1,
}


async def recommend(call: Call[RecommendBody]) -> Reply:
    """Rank items, people or scenes for a user, a session or nobody in particular; an unknown user is no error."""
    service, asked = call.service, call.asked
    if asked.target != "item" and asked.scene is not None:
        raise invalid_field("scene", asked.scene, "no scene with this target: scenes are of items")
    with service.live.in_use() as live:
        if asked.target == "scene":
            return await _scenes(service, live, asked)
        made = await (_people(service, live, asked) if asked.target == "user" else _items(live, asked))
    service.metrics.answered(made.fallback, made.degraded)
    return Reply(to_bytes(made, asked.target))


async def _items(live: LiveBundle, asked: RecommendBody) -> Answer:
    return await live.recommender.recommend(to_request(asked))


async def _scenes(service: Service, live: LiveBundle, asked: RecommendBody) -> Reply:
    """The scenes that suit the context, those first whose best items suit the user most; each list has its own id."""
    started = perf_counter()
    found = await live.recommender.recommend_scenes(to_request(asked))
    fallback = next((one.answer.fallback for one in found if one.answer.fallback), None)
    degraded = any(one.answer.degraded for one in found)
    service.metrics.answered(fallback, degraded)
    return reply(
        {
            "recommendation_id": found[0].answer.recommendation_id if found else uuid4().hex,
            "bundle": live.version,
            "scenes": [
                {
                    "scene": one.scene,
                    "score": one.score,
                    "recommendation_id": one.answer.recommendation_id,
                    "items": [_item(item, "item_id") for item in one.answer.items],
                }
                for one in found
            ],
            "fallback": fallback,
            "degraded": degraded,
            "took_ms": round((perf_counter() - started) * 1000, 3),
        }
    )


async def _people(service: Service, live: LiveBundle, asked: RecommendBody) -> Answer:
    """Users for a user: neither oneself nor who was erased; of the session only events about people are read."""
    if live.people is None:
        raise invalid_field("target", asked.target, "'item': the recipe of this bundle links no users")
    if asked.query is not None:
        raise invalid_field("query", asked.query, "no query: people have no texts to look in")
    if asked.explain:
        raise invalid_field("explain", asked.explain, "false: reasons would tell of other users")
    gone = [key.removeprefix("u:") for key in await service.erased() if key.startswith("u:")]
    request, me = to_request(asked), () if asked.user_id is None else (asked.user_id,)
    about = [one for one in request.history if live.event_targets.get(one.type) != "item"]
    return await live.people.recommend(
        replace(request, history=about, exclude_items=[*request.exclude_items, *gone, *me])
    )


def to_request(asked: RecommendBody) -> RecommendRequest:
    """The pipeline's request."""
    return RecommendRequest(
        user_id=asked.user_id,
        session_id=asked.session_id,
        n=asked.n,
        context=asked.context,
        history=[_past(one) for one in asked.history],
        query=asked.query,
        scene=asked.scene,
        include=asked.filter.include,
        exclude=asked.filter.exclude,
        exclude_items=asked.exclude_items,
        exclude_seen=asked.exclude_seen,
        task_weights=asked.task_weights,
        diversity=asked.diversity,
        explain=asked.explain,
        timeout_ms=asked.timeout_ms,
    )


def _past(event: PastEvent) -> SessionEvent:
    return SessionEvent(event.item_id, event.type, event.value, event.timestamp)


def to_bytes(answer: Answer, target: str = "item") -> bytes:
    """The answer as JSON: its items under the name of what they are."""
    return orjson.dumps(
        {
            "recommendation_id": answer.recommendation_id,
            "bundle": answer.bundle,
            f"{target}s": [_item(one, f"{target}_id") for one in answer.items],
            "fallback": answer.fallback,
            "degraded": answer.degraded,
            "took_ms": answer.took_ms,
        }
    )


def _item(item: AnsweredItem, name: str) -> dict[str, object]:
    shape: dict[str, object] = {
        name: item.item_id,
        "score": item.score,
        "task_scores": item.task_scores,
        "channels": item.channels,
    }
    if item.reasons is not None:
        shape["reasons"] = item.reasons  # orjson writes dataclasses
    return shape


OPERATIONS = (
    Operation(
        "POST",
        "/recommend",
        recommend,
        RecommendBody,
        RecommendAnswer,
        READERS,
        "Recommend items",
        examples=EXAMPLES,
        example=EXAMPLE,
    ),
)
