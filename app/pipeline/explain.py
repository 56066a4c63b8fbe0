"""Why an item is in a list: the history item that leads to it, what they share, who offered it, what each task says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.pipeline.answer import Reason
from app.pipeline.asked import Asked
from index.filters import values_of
from index.view import View
from model.bundle import Bundle
from model.events import History
from model.features.neighbours import Neighbours
from model.features.ranking import neighbour_evidence
from model.features.spec import ChannelSpec, TaskSpec

NEAR = 0.5  # cosine from which a history item counts as the reason when no table links it


@dataclass(frozen=True, slots=True)
class Cause:
    """The event of the history that speaks most for an item: its place in the history, and by which channel."""

    place: int
    channel: str


class Explainer:
    """Gives reasons for answered items; works only when asked to, on the few items of one answer."""

    def __init__(self, bundle: Bundle) -> None:
        self._spec = bundle.spec
        self._tables = [(one, bundle.neighbours(one.name)) for one in bundle.spec.channels if one.kind == "neighbours"]

    def reasons(
        self,
        asked: Asked,
        rows: NDArray[np.int64],
        values: NDArray[np.float32],
        channels: Sequence[tuple[str, ...]],
    ) -> tuple[tuple[Reason, ...], ...]:
        """The reasons of each answered row (values float32 [k, T]): cause, what is shared, channels, tasks."""
        history = asked.moment.history.last(self._spec.history_length)
        causes = self._causes(asked.view, history, rows)
        return tuple(
            (
                *self._of_cause(asked.view, history, cause, row),
                _of_channels(names),
                *map(_of_task, self._spec.tasks, outputs),
            )
            for row, cause, names, outputs in zip(rows.tolist(), causes, channels, values.tolist(), strict=True)
        )

    def _causes(self, view: View, history: History, rows: NDArray[np.int64]) -> list[Cause | None]:
        """The strongest link over all tables, each measured by its strongest; else the nearest item by vector.

        Events whose value lies in the lower half of the range are no reason to show anything.
        """
        if not len(history) or not len(rows):
            return [None] * len(rows)
        names, links = ["tower"], [_nearness(view, history, rows)]
        for channel, table in self._tables:
            found = _links(channel, table, history, rows)
            names.append(channel.name)
            links.append(np.where(found > 0, 1.0 + found, 0.0))  # a link in a table wins over nearness
        strength = np.stack(links, axis=1)  # [k, tables, L]
        strength[:, :, history.values < (self._spec.value_low + self._spec.value_high) / 2] = 0.0
        flat = strength.reshape(len(rows), -1)
        places = [divmod(place, len(history)) for place in flat.argmax(axis=1).tolist()]
        return [
            Cause(place, names[table]) if weight >= NEAR else None
            for (table, place), weight in zip(places, flat.max(axis=1).tolist(), strict=True)
        ]

    def _of_cause(self, view: View, history: History, cause: Cause | None, row: int) -> list[Reason]:
        if cause is None:
            return []
        source, type_id = int(history.rows[cause.place]), int(history.types[cause.place])
        value, what = float(history.values[cause.place]), self._spec.event_types[type_id - 1]
        title = self._title(view, source)
        told = what if np.isnan(value) else f"{what} {value:g}"
        facts = {"item_id": view.id(source), "title": title, "event": what, "channel": cause.channel}
        if not np.isnan(value):
            facts["value"] = f"{value:g}"
        return [Reason("because", f"because of your {told} of {title}", facts), *self._shared(view, source, row, title)]

    def _shared(self, view: View, source: int, row: int, title: str) -> list[Reason]:
        """Attribute values that the item shares with the one of the history."""
        mine, theirs = view.record(row), view.record(source)
        found = []
        for one in self._spec.attributes:
            shared = [value for value in values_of(mine, one.name) if value in values_of(theirs, one.name)]
            if shared:
                words = ", ".join(shared)
                facts = {"attribute": one.name, "values": words, "item_id": view.id(source)}
                found.append(Reason("attribute", f"{one.name} {words}, like {title}", facts))
        return found

    def _title(self, view: View, row: int) -> str:
        """The first text field that is told, else the id."""
        text = view.record(row).text
        return next((text[name] for name in self._spec.text_fields if text.get(name)), view.id(row))


def _nearness(view: View, history: History, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cosine of each answered row with each history item, [k, L]."""
    mine, theirs = view.vectors(rows), view.vectors(history.rows)
    lengths = np.linalg.norm(mine, axis=1)[:, None] * np.linalg.norm(theirs, axis=1)
    cosines: NDArray[np.float64] = np.clip((mine @ theirs.T) / np.maximum(lengths, 1e-9), 0.0, 1.0).astype(np.float64)
    return cosines


def _links(channel: ChannelSpec, table: Neighbours, history: History, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each history item adds to each answered row in one channel, [k, L], the strongest link being 1."""
    links = np.zeros((len(rows), len(history)))
    depth = min(channel.depth, len(history))
    for age, place in enumerate(range(len(history) - 1, len(history) - 1 - depth, -1)):
        one = neighbour_evidence(table, channel, History.of([history.rows[place]], [1], [np.nan], [np.nan]))
        order = np.argsort(one.rows)
        if len(order):
            found = order[np.minimum(np.searchsorted(one.rows, rows, sorter=order), len(order) - 1)]
            links[:, place] = np.where(one.rows[found] == rows, one.scores[found], 0.0) * channel.decay**age
    return links / (links.max() or 1.0)


def _of_channels(names: tuple[str, ...]) -> Reason:
    listed = ", ".join(names)
    return Reason("channel", f"found by {listed}", {"channels": listed})


def _of_task(task: TaskSpec, output: float) -> Reason:
    text = f"{task.name} {output:.2f}" if task.kind in ("regression", "ordinal") else f"{task.name} {output:.1%}"
    return Reason("task", text, {"task": task.name, "value": output})
