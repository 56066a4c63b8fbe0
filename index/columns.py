"""The catalogue's raw attribute values as columns in the bundle (`filters/`), so that a filter reads no records."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import orjson

from index.filters import NumberColumn, ValueColumn, number_of, values_of
from model.bundle import Bundle
from model.features.records import ItemRecord
from model.features.spec import AttributeSpec

NAMES = "filters/names.json"
AttributeColumn: TypeAlias = ValueColumn | NumberColumn


def write_columns(folder: Path, specs: Sequence[AttributeSpec], records: Sequence[ItemRecord]) -> None:
    """Write one column for each attribute and names.json, which has their values in order of column."""
    (folder / "filters").mkdir(parents=True, exist_ok=True)
    names: list[dict[str, Any]] = []
    for place, one in enumerate(specs):
        values = _write_column(folder / "filters" / str(place), one, records)
        names.append({"name": one.name, "values": values})
    (folder / NAMES).write_bytes(orjson.dumps(names))


def open_columns(bundle: Bundle) -> Mapping[str, AttributeColumn]:
    """The columns by attribute name, memory-mapped."""
    names = orjson.loads((bundle.path / NAMES).read_bytes())
    return {one["name"]: _open_column(bundle, place, one["values"]) for place, one in enumerate(names)}


def _write_column(stem: Path, spec: AttributeSpec, records: Sequence[ItemRecord]) -> list[str]:
    """Write one column's arrays; returns its distinct values in order (none for a numeric one)."""
    if spec.kind == "numeric":
        np.save(f"{stem}.numbers.npy", np.asarray([number_of(one, spec.name) for one in records], np.float64))
        return []
    rows_of: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        for value in values_of(record, spec.name):
            rows_of.setdefault(value, []).append(row)
    sizes = [len(rows) for rows in rows_of.values()]
    np.save(f"{stem}.indptr.npy", np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
    np.save(f"{stem}.rows.npy", np.asarray([row for rows in rows_of.values() for row in rows], np.int32))
    return list(rows_of)


def _open_column(bundle: Bundle, place: int, values: list[str]) -> AttributeColumn:
    stem = f"filters/{place}"
    if bundle.has(f"{stem}.numbers.npy"):
        return NumberColumn(bundle.array(f"{stem}.numbers.npy"))
    codes = {value: code for code, value in enumerate(values)}
    return ValueColumn(codes, bundle.array(f"{stem}.indptr.npy"), bundle.array(f"{stem}.rows.npy"))
