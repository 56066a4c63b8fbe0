"""Run-time items and the active bundle in Redis: a change log in which every item stands once, as it is now."""

import time
from collections.abc import Sequence
from typing import Any

from app.state import scripts
from app.state.client import Client, script
from app.state.keys import ACTIVATIONS, ACTIVE_BUNDLE, ITEM_ORDER, ITEM_SEQUENCE, ITEMS
from app.state.packing import pack_activation, pack_item, unpack_activations, unpack_item
from app.state.store import FOLLOW_LIMIT, Activation, ItemChanges, StoredItem
from app.state.wire import Words


class RedisCatalogue:
    """A CatalogueStore over Redis."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put_item(self, item: StoredItem, expected: int | None = None) -> int:
        """Store an item and note the change; 0 when `expected` is not the stored version."""
        return int(await self._client.one(_put(item, expected)))

    async def put_items(self, items: Sequence[StoredItem]) -> list[int]:
        """Store many items in one round trip; their new versions."""
        return [int(version) for version in await self._client.many([_put(item) for item in items])]

    async def get_item(self, item_id: str) -> StoredItem | None:
        """An item as stored at run time, tombstones included."""
        record, version = await self._client.one(script(scripts.GET_ITEM, (ITEMS, ITEM_ORDER), item_id))
        return None if record is None else unpack_item(record, int(version))

    async def delete_item(self, item_id: str) -> int:
        """Leave a tombstone, also for an item that only a bundle knows; its version."""
        return await self.put_item(StoredItem(item_id, deleted=True))

    async def items_since(self, cursor: int) -> ItemChanges:
        """Up to FOLLOW_LIMIT items changed after `cursor`."""
        return item_changes(await self._client.one(since(cursor)))[0]

    async def all_items(self) -> list[StoredItem]:
        """Every item put or deleted at run time, in order of change."""
        changes = await self.items_since(0)
        items = list(changes.items)
        while len(changes.items) == FOLLOW_LIMIT:
            changes = await self.items_since(changes.cursor)
            items += changes.items
        return items

    async def active_bundle(self) -> str | None:
        """The version that was last activated."""
        return text(await self._client.one(("GET", ACTIVE_BUNDLE)))

    async def activate(self, version: str) -> None:
        """Make a bundle version the active one for every worker."""
        packed = pack_activation(Activation(version, time.time()))
        await self._client.one(script(scripts.ACTIVATE, (ACTIVE_BUNDLE, ACTIVATIONS), version, packed))

    async def activations(self) -> list[Activation]:
        """The last 100 activations, newest first."""
        return unpack_activations(await self._client.one(("LRANGE", ACTIVATIONS, 0, -1)))


def since(cursor: int) -> Words:
    """The command that asks for item changes and the active bundle."""
    return script(scripts.ITEMS_SINCE, (ITEMS, ITEM_ORDER, ITEM_SEQUENCE, ACTIVE_BUNDLE), cursor, FOLLOW_LIMIT)


def item_changes(reply: Any) -> tuple[ItemChanges, str | None]:
    """Item changes and active bundle from the reply to `since`."""
    start, active, versions, records = reply
    items = [unpack_item(record, int(version)) for record, version in zip(records, versions, strict=True)]
    return ItemChanges(items, items[-1].version if items else int(start)), text(active)


def text(value: bytes | None) -> str | None:
    """A reply as text."""
    return None if value is None else value.decode()


def _put(item: StoredItem, expected: int | None = None) -> Words:
    condition = "" if expected is None else str(expected)
    keys = (ITEMS, ITEM_ORDER, ITEM_SEQUENCE)
    return script(scripts.PUT_ITEM, keys, item.item_id, pack_item(item), condition)
