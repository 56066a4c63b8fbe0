"""One bundle made servable: its catalogue with everything put at run time, its encoder, its recommender."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.pipeline.answer import Answer
from app.pipeline.request import RecommendRequest
from app.pipeline.scenes import AnsweredScene
from app.pipeline.user import UserInput
from app.state.store import Cursors, StoredItem
from index.catalogue import Change, Delete, LiveCatalogue, Put
from index.encode import ItemEncoder
from index.users import UserIndex
from model.bundle import Bundle
from model.errors import RequestError
from model.events import Event
from model.features.records import ItemRecord
from model.features.spec import AttributeSpec, Values

LOOK_S = 0.02
CHUNK = 32  # items encoded at once
T = TypeVar("T")


class Recommends(Protocol):
    """What the service needs of the pipeline."""

    async def recommend(self, request: RecommendRequest) -> Answer:
        """Answer one request for items."""
        ...

    async def recommend_scenes(self, request: RecommendRequest) -> list[AnsweredScene]:
        """The best scenes for one request, each with its list."""
        ...

    async def user_vector(self, user: UserInput) -> NDArray[np.float32]:
        """A user's vector as of now, float32 [D]."""
        ...

    def learn(self, events: Sequence[Event]) -> None:
        """Count events of the stream (popular, fresh, counters)."""
        ...

    async def close(self) -> None:
        """Write out what is still to be written (impressions) and let go of threads."""
        ...


@dataclass
class LiveBundle:
    """A bundle in service. `cursors` says how far the state's changes are in it, `applied` which version of an item is.

    All methods are synchronous and belong on the work thread: one writer.
    """

    bundle: Bundle
    catalogue: LiveCatalogue
    encoder: ItemEncoder
    users: UserIndex
    recommender: Recommends
    people: Recommends | None = None  # recommends users to users, where the recipe links them
    event_targets: Mapping[str, str] = field(default_factory=dict)  # event type → what it is about, "item" or "user"
    cursors: Cursors = field(default_factory=Cursors)
    applied: dict[str, int] = field(default_factory=dict)
    running: int = 0  # requests that are being answered from it

    @contextmanager
    def in_use(self) -> Iterator["LiveBundle"]:
        """Keep the bundle from retiring while a request is answered from it."""
        self.running += 1
        try:
            yield self
        finally:
            self.running -= 1

    async def retire(self) -> None:
        """Let running requests end, then let go of threads; what is to be written is written."""
        while self.running:
            await asyncio.sleep(LOOK_S)
        await self.recommender.close()
        if self.people is not None:
            await self.people.close()

    def learn(self, events: Sequence[Event]) -> None:
        """Count events of the stream, of items and of people."""
        self.recommender.learn(events)
        if self.people is not None:
            self.people.learn(events)

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.bundle.manifest.version

    @property
    def encoder_digest(self) -> str:
        """What made this bundle's text vectors."""
        return self.bundle.manifest.text_encoder.digest

    def apply(self, items: Sequence[StoredItem]) -> None:
        """Bring the catalogue to what the state says of some items; what is older than what is there is left out."""
        newer = [one for one in items if one.version > self.applied.get(one.item_id, 0)]
        for part in _chunks(newer):
            self.catalogue.apply(self._changes(part))
            self.applied |= {one.item_id: one.version for one in part}

    def _changes(self, items: Sequence[StoredItem]) -> list[Change]:
        changes: list[Change] = [Delete(one.item_id) for one in items if one.deleted]
        return changes + self._puts([one for one in items if not one.deleted])

    def _puts(self, items: Sequence[StoredItem]) -> list[Change]:
        if not items:
            return []
        records = [ItemRecord(one.text, self.fitting(one.attributes)) for one in items]
        rows = [self.bundle.items.row(one.item_id) for one in items]
        texts, ids, vectors = self.encoder.encode(records, rows, self._texts(items, records))
        made = zip(items, records, vectors, ids, texts, strict=True)
        return [Put(one.item_id, record, vector, at, text, one.hidden) for one, record, vector, at, text in made]

    def fitting(self, attributes: Mapping[str, Values]) -> dict[str, Values]:
        """The attributes that this bundle's recipe has: an item may have been put while another bundle was live."""
        kinds = {one.name: one.kind for one in self.bundle.spec.attributes}
        return {name: value for name, value in attributes.items() if name in kinds and _fits(kinds[name], value)}

    def _texts(self, items: Sequence[StoredItem], records: Sequence[ItemRecord]) -> NDArray[np.float32]:
        """Text vectors as stored where this bundle's encoder made them, else made now."""
        stored = [self._stored_text(one) for one in items]
        missing = [record for record, vector in zip(records, stored, strict=True) if vector is None]
        made = iter(self.encoder.texts(missing))
        return np.stack([next(made) if vector is None else vector for vector in stored])

    def _stored_text(self, item: StoredItem) -> NDArray[np.float32] | None:
        fits = item.encoder == self.encoder_digest and len(item.text_vector) == 4 * self.bundle.spec.text_dim
        return np.frombuffer(item.text_vector, "<f4") if fits else None

    def warm(self) -> None:
        """Open the text encoder and run it once, so that the first PUT or query need not wait for it."""
        self.encoder.strings(["warm"])

    def record(self, item_id: str) -> ItemRecord | None:
        """The bundle's own record of an item, None when it has no such item."""
        row = self.bundle.items.row(item_id)
        return None if row < 0 else self.bundle.item_record(row)

    def profile(self, user_id: str) -> Mapping[str, Values] | None:
        """The bundle's own profile of a user, None when it has no such user."""
        row = self.bundle.users.row(user_id)
        return None if row < 0 else self.bundle.user_record(row).profile

    def check_item(self, text: Mapping[str, object], attributes: Mapping[str, Values | None]) -> None:
        """Raise RequestError for text fields and attributes the recipe does not have."""
        for name in text:
            if name not in self.bundle.spec.text_fields:
                raise RequestError(f"text.{name}", name, _known("text fields", self.bundle.spec.text_fields))
        check_values("attributes", attributes, self.bundle.spec.attributes)

    def check_profile(self, profile: Mapping[str, Values | None]) -> None:
        """Raise RequestError for profile attributes the recipe does not have."""
        check_values("profile", profile, self.bundle.spec.profile)


def check_values(where: str, values: Mapping[str, Values | None], specs: Sequence[AttributeSpec]) -> None:
    """Raise RequestError for a name that is unknown, or text where a number belongs."""
    kinds = {one.name: one.kind for one in specs}
    for name, value in values.items():
        if name not in kinds:
            raise RequestError(f"{where}.{name}", name, _known(where, list(kinds)))
        if not _fits(kinds[name], value):
            raise RequestError(f"{where}.{name}", value, "give a number: this attribute is numeric")


def _fits(kind: str, value: Values | None) -> bool:
    """Is a value of the attribute's kind? Numeric ones take numbers, the others anything."""
    many = [value] if isinstance(value, str | int | float) else list(value or ())
    return kind != "numeric" or not any(isinstance(one, bool | str) for one in many)


def _known(what: str, names: Sequence[str]) -> str:
    return f"the known {what} are {', '.join(names)}" if names else f"this recipe has no {what}"


def _chunks(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
