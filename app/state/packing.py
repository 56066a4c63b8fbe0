"""Records as bytes: JSON, written and read in this one place."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from app.state.store import Activation, Answer, PastEvent, Profile, StoredItem
from model.events import Event
from model.features.spec import Value


def pack_event(event: Event) -> bytes:
    """A whole event."""
    return orjson.dumps(
        (
            event.event_id,
            event.type,
            event.user,
            event.item_id,
            event.timestamp,
            event.value,
            event.session_id,
            event.recommendation_id,
            dict(event.context),
            *((event.target,) if event.target != "item" else ()),
        )
    )


def unpack_event(data: bytes) -> Event:
    """The event that `pack_event` wrote."""
    return Event(*orjson.loads(data))


def pack_past(event: Event) -> bytes:
    """What requests read of an event, but for the order of acceptance, which the store puts before it."""
    told = (pack_context(event.context),) if event.context else ()
    return orjson.dumps((event.item_id, event.type, event.timestamp, event.value, *told))[1:]


def pack_context(context: Mapping[str, Value]) -> str:
    """A context as a JSON object, equal ones alike; "" for none."""
    return orjson.dumps(dict(context), option=orjson.OPT_SORT_KEYS).decode() if context else ""


def unpack_past(data: bytes) -> list[PastEvent]:
    """The events of a JSON array of [order, item, type, timestamp, value, context where there is one]."""
    return [PastEvent(*told[1:]) for told in orjson.loads(data)]


def pack_profile(profile: Profile) -> bytes:
    """A profile."""
    return orjson.dumps(dict(profile))


def unpack_profile(data: bytes | None) -> Profile | None:
    """The profile that `pack_profile` wrote; None for none."""
    return None if data is None else orjson.loads(data)


def pack_item(item: StoredItem) -> bytes:
    """An item; its version is kept beside it by the store."""
    return orjson.dumps(
        {
            "item_id": item.item_id,
            "text": dict(item.text),
            "attributes": dict(item.attributes),
            "hidden": item.hidden,
            "deleted": item.deleted,
            "text_vector": base64.b64encode(item.text_vector).decode(),
            "encoder": item.encoder,
            "updated": item.updated,
        }
    )


def unpack_item(data: bytes, version: int) -> StoredItem:
    """The item that `pack_item` wrote."""
    fields: dict[str, Any] = orjson.loads(data)
    fields["text_vector"] = base64.b64decode(fields["text_vector"])
    return StoredItem(**fields, version=version)


def pack_answer(answer: Answer) -> bytes:
    """An answer's impressions."""
    return orjson.dumps(
        (
            answer.recommendation_id,
            answer.user,
            answer.timestamp,
            answer.item_ids,
            answer.scores,
            answer.propensities,
            answer.session_id,
            answer.bundle,
            dict(answer.context),
        )
    )


def unpack_answer(data: bytes) -> Answer:
    """The answer that `pack_answer` wrote."""
    return Answer(*orjson.loads(data))


def pack_activation(activation: Activation) -> bytes:
    """An activation."""
    return orjson.dumps((activation.version, activation.time))


def unpack_activations(lines: Sequence[bytes]) -> list[Activation]:
    """The activations that `pack_activation` wrote."""
    return [Activation(*orjson.loads(line)) for line in lines]
