"""What moves with the stream of feedback: the item counters, and the popular and fresh lists that are read off them."""

from collections.abc import Sequence

from app.pipeline.channels.fresh import Freshness
from app.pipeline.channels.popular import Popularity
from index.view import View
from model.bundle import Bundle
from model.events import Event
from model.features.counters import ItemCounters
from model.ids import NO_ROW


class Live:
    """Counters as of the newest event applied; one writer, the engine's thread."""

    def __init__(self, bundle: Bundle, counters: ItemCounters) -> None:
        self.counters = counters
        self.popularity = Popularity(counters, bundle.fallbacks(), bundle.items.row)
        self.freshness = Freshness(counters, len(bundle.items), max(bundle.spec.half_lives, default=0.0))
        self._bundle, self._trained_until = bundle, counters.total_newest
        self._types = {name: place + 1 for place, name in enumerate(bundle.spec.event_types)}

    def apply(self, view: View, events: Sequence[Event]) -> int:
        """Count events of the stream; how many counted (not those of unknown items, unknown types, or of training)."""
        return sum(self._apply(view, event) for event in events)

    def cover(self, view: View) -> None:
        """Make room for rows added at run time."""
        if len(view) > len(self.counters):
            self.counters.grow(len(view))

    def _apply(self, view: View, event: Event) -> bool:
        row, type_id = view.row(event.item_id), self._types.get(event.type, 0)
        if row == NO_ROW or not type_id or self._trained_on(event, row, type_id):
            return False
        self.cover(view)
        if self.counters.first[row] == float("inf"):
            self.freshness.met(row)
        self.counters.add(row, type_id, event.timestamp, float("nan") if event.value is None else event.value)
        self.popularity.touch(row)
        return True

    def _trained_on(self, event: Event, row: int, type_id: int) -> bool:
        """Whether the bundle has counted this event: it was exported, then trained on, and is still in the stream."""
        user = self._bundle.users.row(event.user)
        if event.timestamp > self._trained_until or user == NO_ROW:
            return False
        known = self._bundle.user_history(user)
        same = (known.rows == row) & (known.types == type_id) & (known.times == event.timestamp)
        return bool(same.any())
