"""Items at run time: put, read, merge, delete, many at once, and what is similar to one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from app.answers import BatchAnswer, DeletedAnswer, ItemAnswer, SimilarItems
from app.auth import OPERATORS, READERS
from app.batches import each, elements
from app.live_bundle import CHUNK, LiveBundle
from app.problems import Problem, not_found
from app.routes.endpoint import Call, Operation, Reply, reply
from app.service import Service
from app.state.store import StoredItem
from app.wire import BatchItem, BatchItems, ItemBody, ItemPatch, Nothing, SimilarQuery
from index.similar import similar
from model.features.records import ItemRecord
from model.ids import NO_ROW

TRIES = 8  # of a merge that others keep overtaking
V = TypeVar("V")

PUT_EXAMPLE = {"a new film": {"text": {"title": "Contact (1997)"}, "attributes": {"genres": ["Drama", "Sci-Fi"]}}}
PATCH_EXAMPLE = {"hide it": {"hidden": True}, "drop an attribute": {"attributes": {"release_year": None}}}
ITEM_EXAMPLE = {
    "item_id": "258",
    "text": {"title": "Contact (1997)"},
    "attributes": {"genres": ["Drama", "Sci-Fi"]},
    "hidden": False,
}
BATCH_EXAMPLE = {"two films": {"items": [{"item_id": "a", "text": {"title": "A"}}, {"item_id": "b", "hidden": True}]}}


async def put_item(call: Call[ItemBody]) -> Reply:
    """Add an item or replace it: what is left out is unknown. Recommendable at once, by text alone if need be."""
    service, asked = call.service, call.asked
    service.live.check_item(asked.text, asked.attributes)
    known = await known_item(service, call.id)
    (item,) = await encoded(service, [StoredItem(call.id, asked.text, asked.attributes, asked.hidden)])
    await store_items(service, [item])
    return reply(shape_of(item), 200 if known is not None else 201)


async def get_item(call: Call[Nothing]) -> Reply:
    """The item as it is known: as put at run time, else as the live bundle was trained with."""
    return reply(shape_of(await existing_item(call.service, call.id)))


async def patch_item(call: Call[ItemPatch]) -> Reply:
    """Merge: what is left out stays, null removes."""
    service, asked = call.service, call.asked
    service.live.check_item(asked.text, asked.attributes)
    for _ in range(TRIES):
        before = await existing_item(service, call.id)
        (item,) = await encoded(service, [merged_item(before, asked)])
        if await store_if(service, item, before.version):
            return reply(shape_of(item))
    raise Problem(409, "conflict", f"item_id: {call.id[:80]!r} keeps being changed by others; send the change again")


async def delete_item(call: Call[Nothing]) -> Reply:
    """Delete an item for good: it is never answered again, whichever bundle is live, until it is put again."""
    await existing_item(call.service, call.id)

    async def write() -> Sequence[StoredItem]:
        version = await call.service.store.delete_item(call.id)
        return [StoredItem(call.id, deleted=True, version=version)]

    await call.service.store_items(write)
    return reply(DeletedAnswer(item_id=call.id, deleted=True))


async def put_items(call: Call[BatchItems]) -> Reply:
    """Put many items; each stands alone."""
    service = call.service
    found = elements(call.body, "items", service.settings.max_batch)
    items, rejected = each(found, BatchItem, lambda one: _checked(service.live, one))
    created = 0
    for start in range(0, len(items), CHUNK):  # so that a single PUT need not wait for the whole batch
        created += await _put_part(service, {one.item_id: one for one in items[start : start + CHUNK]})
    return reply({"created": created, "updated": len(items) - created, "rejected": rejected})


def _checked(live: LiveBundle, asked: BatchItem) -> StoredItem:
    live.check_item(asked.text, asked.attributes)
    return StoredItem(asked.item_id, asked.text, asked.attributes, asked.hidden)


async def _put_part(service: Service, items: Mapping[str, StoredItem]) -> int:
    """Store some items; how many were not known before."""
    known = [await known_item(service, item_id) for item_id in items]
    await store_items(service, await encoded(service, list(items.values())))
    return sum(one is None for one in known)


async def similar_items(call: Call[SimilarQuery]) -> Reply:
    """Items like this one, by learned vector and by text."""
    live = call.service.live
    view = live.catalogue.view
    row = view.row(call.id)
    if row == NO_ROW or view.removed[row]:
        raise not_found("item_id", call.id)
    found = await call.service.on_work_thread(similar, view, row, call.asked.n)
    pairs = zip(found.rows.tolist(), np.asarray(found.scores, np.float64).tolist(), strict=True)
    return reply({"items": [{"item_id": view.id(one), "score": score} for one, score in pairs]})


async def known_item(service: Service, item_id: str) -> StoredItem | None:
    """What is known of an item: as stored, else as in the live bundle (version 0); None when unknown or deleted."""
    stored = await service.store.get_item(item_id)
    if stored is not None:
        return None if stored.deleted else stored
    record = service.live.record(item_id)
    return None if record is None else StoredItem(item_id, record.text, record.attributes)


async def existing_item(service: Service, item_id: str) -> StoredItem:
    """The item; Problem 404 when it is unknown or deleted."""
    found = await known_item(service, item_id)
    if found is None:
        raise not_found("item_id", item_id)
    return found


async def encoded(service: Service, items: Sequence[StoredItem]) -> list[StoredItem]:
    """The items with their text vectors, so that no other worker has to make them."""
    live: LiveBundle = service.live
    records = [ItemRecord(one.text, one.attributes) for one in items]
    vectors = await service.on_work_thread(live.encoder.texts, records)
    made = zip(items, vectors, strict=True)
    digest = live.encoder_digest
    return [replace(one, text_vector=vector.astype("<f4").tobytes(), encoder=digest) for one, vector in made]


async def store_items(service: Service, items: Sequence[StoredItem]) -> None:
    """Store items, and have them in this worker's catalogue on return."""

    async def write() -> Sequence[StoredItem]:
        versions = await service.store.put_items(items)
        return [replace(one, version=version) for one, version in zip(items, versions, strict=True)]

    await service.store_items(write)


async def store_if(service: Service, item: StoredItem, expected: int) -> bool:
    """Store an item unless somebody was faster."""
    done = False

    async def write() -> Sequence[StoredItem]:
        nonlocal done
        version = await service.store.put_item(item, expected)
        done = version > 0
        return [replace(item, version=version)] if done else []

    await service.store_items(write)
    return done


def merged_item(before: StoredItem, patch: ItemPatch) -> StoredItem:
    """An item with a patch laid over it."""
    hidden = before.hidden if patch.hidden is None else patch.hidden
    text, attributes = merged(before.text, patch.text), merged(before.attributes, patch.attributes)
    return StoredItem(before.item_id, text, attributes, hidden)


def merged(before: Mapping[str, V], changes: Mapping[str, V | None]) -> dict[str, V]:
    """`before` with `changes`; None removes."""
    both: dict[str, Any] = {**before, **changes}
    return {name: value for name, value in both.items() if value is not None}


def shape_of(item: StoredItem) -> dict[str, Any]:
    """An item as it is answered."""
    shape: dict[str, Any] = {"item_id": item.item_id, "text": dict(item.text), "attributes": dict(item.attributes)}
    return {**shape, "hidden": item.hidden}


ITEM, ITEMS = "/items/{item_id}", "/items:batch"
OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        "GET",
        f"{ITEM}/similar",
        similar_items,
        SimilarQuery,
        SimilarItems,
        READERS,
        "Items similar to one",
        example={"items": [{"item_id": "257", "score": 0.83}]},
    ),
    Operation(
        "PUT",
        ITEM,
        put_item,
        ItemBody,
        ItemAnswer,
        OPERATORS,
        "Add or replace an item (201 new, 200 known)",
        examples=PUT_EXAMPLE,
        example=ITEM_EXAMPLE,
    ),
    Operation("GET", ITEM, get_item, Nothing, ItemAnswer, READERS, "Read an item", example=ITEM_EXAMPLE),
    Operation(
        "PATCH",
        ITEM,
        patch_item,
        ItemPatch,
        ItemAnswer,
        OPERATORS,
        "Change an item",
        examples=PATCH_EXAMPLE,
        example=ITEM_EXAMPLE,
    ),
    Operation("DELETE", ITEM, delete_item, Nothing, DeletedAnswer, OPERATORS, "Delete an item for good"),
    Operation(
        "POST",
        ITEMS,
        put_items,
        BatchItems,
        BatchAnswer,
        OPERATORS,
        "Add or replace many items",
        raw=True,
        body=BatchItems | list[BatchItem],
        examples=BATCH_EXAMPLE,
    ),
)
