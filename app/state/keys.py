"""Every key of the state store, and nothing else knows their names.

    polyrank:{p07}:u:<user key>:m   hash    v version · p profile · x vector · s its stamp · w its version
    polyrank:{p07}:u:<user key>:l   zset    timestamp → '["<order>", item, type, timestamp, value]': what requests read
    polyrank:{p07}:u:<user key>:s   set     item ids of all events
    polyrank:{p07}:u:<user key>:i   hash    event id → '<stream id> <whole event>': dedupe, export, erase
    polyrank:{p07}:seq              integer source of versions; one for the partition, so that none ever comes again
    polyrank:{p07}:erased           hash    user key → '<version> <time>'
    polyrank:{p07}:events           stream  k user key · d whole event
    polyrank:{p07}:impressions      stream  k user key · d answer; bounded
    polyrank:{catalogue}:items      hash    item id → record
    polyrank:{catalogue}:order      zset    version of the last change → item id: the change log, each item once
    polyrank:{catalogue}:seq        integer source of item versions
    polyrank:{catalogue}:active     string  active bundle version
    polyrank:{catalogue}:activated  list    '[version, time]', newest first

What one script touches shares a hash tag, hence a slot: every step is atomic in Cluster too.
"""

from typing import NamedTuple
from zlib import crc32

PARTITIONS = 16  # part of the layout: another number would look for users in other places
PREFIX = "polyrank"
TAGS = tuple(f"{PREFIX}:{{p{number:02d}}}" for number in range(PARTITIONS))
SEQUENCES = tuple(f"{tag}:seq" for tag in TAGS)
ERASED = tuple(f"{tag}:erased" for tag in TAGS)
_CATALOGUE = f"{PREFIX}:{{catalogue}}"
ITEMS, ITEM_ORDER, ITEM_SEQUENCE = f"{_CATALOGUE}:items", f"{_CATALOGUE}:order", f"{_CATALOGUE}:seq"
ACTIVE_BUNDLE, ACTIVATIONS = f"{_CATALOGUE}:active", f"{_CATALOGUE}:activated"


class UserKeys(NamedTuple):
    """The keys of one user and of the partition it lives in."""

    meta: str
    log: str
    seen: str
    ids: str
    sequence: str
    erased: str
    partition: int


def partition_of(user_key: str) -> int:
    """The partition a user's state and events live in, 0 … PARTITIONS - 1."""
    return crc32(user_key.encode()) % PARTITIONS


def user_keys(user_key: str) -> UserKeys:
    """The keys of one user."""
    partition = partition_of(user_key)
    base = f"{TAGS[partition]}:u:{user_key}"
    return UserKeys(
        f"{base}:m", f"{base}:l", f"{base}:s", f"{base}:i", SEQUENCES[partition], ERASED[partition], partition
    )


def stream(kind: str, partition: int) -> str:
    """The stream of one kind (EVENTS or IMPRESSIONS) in a partition."""
    return f"{TAGS[partition]}:{kind}"


def streams(kind: str) -> list[str]:
    """All streams of one kind, by partition."""
    return [f"{tag}:{kind}" for tag in TAGS]
