"""A Parquet file that takes up new rows and gives up those of erased users, whole or not at all."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.state.store import EVENTS, IMPRESSIONS
from app.state.tables import COLUMNS, ExportError, Table, schema_of

IDENTITY = {EVENTS: ("user_id", "event_id"), IMPRESSIONS: ("recommendation_id", "position")}
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Written:
    """What one rewrite did: rows added, rows left out because they were there, rows of erased users dropped."""

    added: int = 0
    repeated: int = 0
    purged: int = 0


def rewrite(path: Path, kind: str, new: Table, erased: Mapping[str, float]) -> Written:
    """Add the rows of `new` that the file lacks and drop those of erased users; replaces the file at once.

    Two rows are the same when IDENTITY says so; a row goes with its user when it was accepted before the erase. The
    file is not touched when nothing changes. Raises ExportError when the file is not one of these exports.
    """
    _check(path, kind)
    purged = sum(batch.num_rows - _kept(batch, erased).num_rows for batch in _batches(path, _narrow(kind)))
    fresh = _unknown(path, kind, new, erased)
    if fresh.num_rows or purged:
        _write(path, kind, fresh, erased)
    return Written(fresh.num_rows, new.num_rows - fresh.num_rows, purged)


def _check(path: Path, kind: str) -> None:
    from pyarrow import ArrowInvalid, parquet

    try:
        missing = COLUMNS[kind].keys() - set(parquet.read_schema(path).names) if path.exists() else set()
    except ArrowInvalid as error:
        raise ExportError(str(path), str(error), "move it away and export again") from None
    if missing:
        raise ExportError(str(path), f"no columns {sorted(missing)}", "move it away: it is not an export of events")


def _narrow(kind: str) -> list[str]:
    """The columns that say whose a row is and which one."""
    return list(dict.fromkeys(("user_id", "session_id", "accepted", *IDENTITY[kind])))


def _batches(path: Path, columns: list[str] | None = None) -> Iterator[Any]:
    """The rows of a file piece by piece; none when there is no file."""
    from pyarrow import parquet

    if path.exists():
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns)


def _kept(batch: Any, erased: Mapping[str, float]) -> Any:
    """The rows of a batch but those accepted from a user who was erased later."""
    import pyarrow as pa
    from pyarrow import compute

    users, sessions = batch.column("user_id"), batch.column("session_id")
    anonymous = compute.fill_null(compute.equal(users, sessions), False)
    keys = compute.binary_join_element_wise(compute.if_else(anonymous, "s", "u"), users, ":")
    suspects = compute.is_in(keys, value_set=pa.array(list(erased), pa.string()))
    if not compute.any(suspects).as_py():
        return batch
    rows = zip(keys.to_pylist(), batch.column("accepted").to_pylist(), strict=True)
    return batch.filter(pa.array([key not in erased or accepted > erased[key] for key, accepted in rows]))


def _unknown(path: Path, kind: str, new: Table, erased: Mapping[str, float]) -> Table:
    """The rows of `new`, each once, that will not be among the kept rows of the file."""
    import pyarrow as pa

    known = set()
    wanted = set(_identities(new, kind))
    for batch in _batches(path, _narrow(kind)):
        known.update(wanted.intersection(_identities(_kept(batch, erased), kind)))
    fresh = []
    for identity in _identities(new, kind):
        fresh.append(identity not in known)
        known.add(identity)
    return new.filter(pa.array(fresh, pa.bool_()))


def _identities(table: Any, kind: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(table.column(name).to_pylist() for name in IDENTITY[kind]), strict=True)


def _write(path: Path, kind: str, fresh: Table, erased: Mapping[str, float]) -> None:
    """Write what stays and what is new beside the file, sync it, and put it in its place."""
    from pyarrow import parquet

    old = set(parquet.read_schema(path).names) if path.exists() else set()
    schema = schema_of(kind, sorted(old.union(fresh.column_names) - COLUMNS[kind].keys()))
    part = path.with_name(f".{path.name}.part")
    with parquet.ParquetWriter(part, schema) as writer:
        for batch in _batches(path):
            writer.write_batch(_as(schema, _kept(batch, erased)))
        for batch in fresh.to_batches(ROWS_AT_ONCE):
            writer.write_batch(_as(schema, batch))
    _sync(part)
    part.replace(path)
    _sync(path.parent)


def _as(schema: Any, batch: Any) -> Any:
    """A batch with all columns of a schema, nulls where it has none."""
    import pyarrow as pa

    has = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type) if field.name in has else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.record_batch(columns, schema=schema)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
