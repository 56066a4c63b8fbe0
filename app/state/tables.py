"""Exported events and impressions as Parquet tables: their columns, and how a file takes up new rows.

pyarrow is imported inside the functions: serving goes without it (extra `batch`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from app.state.store import EVENTS, IMPRESSIONS, Answer, Entry
from model.errors import PolyrankError
from model.events import Event
from model.features.spec import plain

Table: TypeAlias = Any  # pyarrow is not typed
Row: TypeAlias = dict[str, Any]

TEXT, NUMBER = "string", "float64"
COLUMNS: dict[str, dict[str, str]] = {
    EVENTS: {
        "event_id": TEXT,
        "user_id": TEXT,  # the session id where there was no user, and then equal to session_id
        "session_id": TEXT,
        "item_id": TEXT,
        "type": TEXT,
        "value": NUMBER,
        "timestamp": NUMBER,  # epoch seconds, as told
        "recommendation_id": TEXT,
        "accepted": NUMBER,  # epoch seconds, when the store took it
    },
    IMPRESSIONS: {
        "recommendation_id": TEXT,
        "user_id": TEXT,
        "session_id": TEXT,
        "item_id": TEXT,
        "position": "int32",
        "score": NUMBER,
        "propensity": NUMBER,
        "timestamp": NUMBER,
        "bundle": TEXT,
        "accepted": NUMBER,
    },
}


class ExportError(PolyrankError):
    """Exported events cannot be written here."""


def need_pyarrow() -> None:
    """Raise ExportError when pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        raise ExportError("pyarrow", "not installed", "install `polyrank[batch]` where events are exported") from None


def to_table(kind: str, entries: Sequence[Entry]) -> Table:
    """The records of entries as a table: the kind's columns, then one text column a context key."""
    import pyarrow as pa

    rows = [row for entry in entries for row in _rows(entry)]
    names = sorted({name for row in rows for name in row} - COLUMNS[kind].keys())
    schema = schema_of(kind, names)
    return pa.table({name: pa.array([row.get(name) for row in rows], schema.field(name).type) for name in schema.names})


def _rows(entry: Entry) -> Iterator[Row]:
    if isinstance(entry.record, Event):
        yield _event_row(entry.record, entry.accepted)
    elif isinstance(entry.record, Answer):
        yield from _answer_rows(entry.record, entry.accepted)


def _event_row(event: Event, accepted: float) -> Row:
    fixed = {name: getattr(event, name, None) for name in COLUMNS[EVENTS]}
    return {**fixed, "user_id": event.user, "accepted": accepted, **_context(EVENTS, event.context)}


def _answer_rows(answer: Answer, accepted: float) -> Iterator[Row]:
    shared = {
        "recommendation_id": answer.recommendation_id,
        "user_id": answer.user,
        "session_id": answer.session_id,
        "timestamp": answer.timestamp,
        "bundle": answer.bundle,
        "accepted": accepted,
        **_context(IMPRESSIONS, answer.context),
    }
    shown = zip(answer.item_ids, answer.scores, answer.propensities, strict=True)
    for position, (item_id, score, propensity) in enumerate(shown):
        yield {**shared, "item_id": item_id, "position": position, "score": score, "propensity": propensity}


def _context(kind: str, context: Mapping[str, str | float | bool]) -> Row:
    """Context columns, spelled as vocabularies spell values; a key named like a column gets a prefix."""
    return {f"context_{key}" if key in COLUMNS[kind] else key: plain(value) for key, value in context.items()}


def schema_of(kind: str, context: Sequence[str]) -> Any:
    """The pyarrow schema of a kind with these context columns."""
    import pyarrow as pa

    types = COLUMNS[kind] | dict.fromkeys(context, TEXT)
    return pa.schema([(name, getattr(pa, type_)()) for name, type_ in types.items()])
