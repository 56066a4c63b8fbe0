"""POST /feedback: one event or a list; accepted means that it is stored."""

import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

import orjson
from pydantic import ValidationError

from app.answers import FeedbackAnswer
from app.auth import WRITERS
from app.batches import Rejected, each, elements
from app.expected import problem_of
from app.problems import FieldError, invalid
from app.routes.endpoint import Call, Operation, Reply
from app.service import Service
from app.wire import FeedbackEvent
from model.events import Event

EXAMPLES = {
    "one event": {"type": "rating", "user_id": "42", "item_id": "50", "value": 5, "event_id": "e-1"},
    "a list": [
        {"type": "rating", "session_id": "s-1", "item_id": "50", "timestamp": "2026-09-24T20:15:00Z"},
        {"type": "rating", "user_id": "42", "item_id": "181", "value": 4, "timestamp": 1790281000},
    ],
}
EXAMPLE = {"accepted": 1, "duplicates": 0, "rejected": [], "durability": "aof-everysec"}


async def feedback(call: Call[FeedbackEvent]) -> Reply:
    """Store events. In a list each stands alone; by `event_id` an event counts once, however often it is sent."""
    service, known = call.service, call.service.live.event_targets
    if call.body.lstrip()[:1] == b"[":
        found = elements(call.body, "events", service.settings.max_events)
        return await _stored(service, *each(found, FeedbackEvent, lambda one: to_event(one, known)))
    try:
        event = to_event(FeedbackEvent.model_validate_json(call.body), known)
    except ValidationError as error:
        raise problem_of(error, FeedbackEvent) from None
    return await _stored(service, [event], [])


async def _stored(service: Service, events: Sequence[Event], rejected: Rejected) -> Reply:
    durability = await service.durability()  # before, so that nothing can fail once the events are stored
    done = await service.store.append(events) if events else []
    duplicates = sum(one.duplicate for one in done)
    for outcome, count in ("accepted", len(done) - duplicates), ("duplicate", duplicates), ("rejected", len(rejected)):
        service.metrics.events(outcome, count)
    shape = {"accepted": len(done) - duplicates, "duplicates": duplicates, "rejected": rejected}
    return Reply(orjson.dumps({**shape, "durability": durability}), 202)


def to_event(asked: FeedbackEvent, known: Mapping[str, str]) -> Event:
    """The event as it is stored; raises Problem 422 for a type that is not among the recipe's.

    `known`: event type → what it is about, items or users.
    """
    if asked.type not in known:
        expected = f"one of {', '.join(map(repr, known))}"
        message = f"found {asked.type[:80]!r}; expected {expected}"
        raise invalid([FieldError("type", asked.type, expected, message)])
    user, session = asked.user_id, asked.session_id
    return Event(
        event_id=asked.event_id or uuid4().hex,
        type=asked.type,
        user=str(session if user is None else user),
        item_id=asked.item_id,
        timestamp=time.time() if asked.timestamp is None else asked.timestamp,
        value=asked.value,
        session_id=None if user is not None and session == user else session,
        recommendation_id=asked.recommendation_id,
        context=asked.context,
        target=known[asked.type],
    )


OPERATIONS = (
    Operation(
        "POST",
        "/feedback",
        feedback,
        FeedbackEvent,
        FeedbackAnswer,
        WRITERS,
        "Tell what users did",
        status=202,
        raw=True,
        body=FeedbackEvent | list[FeedbackEvent],
        examples=EXAMPLES,
        example=EXAMPLE,
    ),
)
