"""Items and users tables: ids in table order, texts and attribute values by row."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.config import Entities, Recipe
from model.data.findings import bad_ids, found
from model.data.log import Finding, Records
from model.data.tables import Table, open_table
from model.data.values import AnySeries, Coded, coded, numbers
from model.features.spec import Value, Values
from model.ids import IdMap


@dataclass(frozen=True, slots=True)
class EntityRows:
    """A table of items or users, one row an id, in file order."""

    ids: tuple[str, ...]
    text: dict[str, list[str]]
    values: dict[str, list[Values]]
    findings: list[Finding]

    def records(self, known: IdMap) -> Records:
        """The records by row of an id map; ids without a row in the table have empty ones."""
        places = np.asarray(IdMap(self.ids).rows(known.names), np.int64)
        text = {name: [column[place] if place >= 0 else "" for place in places] for name, column in self.text.items()}
        values = {
            name: [column[place] if place >= 0 else None for place in places] for name, column in self.values.items()
        }
        return Records(text, values)


NOTHING = EntityRows((), {}, {}, [])


def read_entities(recipe: Recipe, declared: Entities | None, data_dir: Path | None) -> EntityRows:
    """Read an items or users table (None: nothing is known); raises DataError for what cannot be read at all."""
    if declared is None:
        return NOTHING
    table = open_table(recipe, declared, data_dir)
    numeric = set(declared.numeric)
    wanted = {declared.id, *declared.text, *declared.attributes}
    table.require([declared.id, *declared.text, *declared.attributes])
    frame = table.read(wanted, wanted - numeric)
    ids = coded(frame[declared.id])
    findings = _id_findings(table, ids)
    frame = frame[_usable(ids)]
    findings += _text_findings(table, declared, frame)
    values: dict[str, list[Values]] = {name: _categorical(frame[name]) for name in declared.categorical}
    for name in declared.numeric:
        values[name], bad = _numeric(table, frame[name])
        findings += bad
    values |= {name: _multi(frame[name], separator) for name, separator in declared.multi.items()}
    text = {name: _texts(frame[name]) for name in declared.text}
    return EntityRows(tuple(coded(frame[declared.id]).objects().tolist()), text, _ordered(declared, values), findings)


def _ordered(declared: Entities, values: dict[str, list[Values]]) -> dict[str, list[Values]]:
    """Attributes in the order of their ids: multi-valued, categorical, numeric."""
    return {name: values[name] for name in declared.attributes}


def _usable(ids: Coded) -> NDArray[np.bool_]:
    """The first row of each id that can be one, bool [n]."""
    return ~bad_ids(ids.values)[ids.codes] & ~pd.Series(ids.codes).duplicated().to_numpy()


def _id_findings(table: Table, ids: Coded) -> list[Finding]:
    shown, bad = ids.objects(), bad_ids(ids.values)[ids.codes]
    twice = pd.Series(ids.codes).duplicated().to_numpy() & ~bad
    move = "an id is 1 to 256 bytes of UTF-8 (rows are left out)"
    findings = found("bad ids", table.name, bad, shown, move)
    return findings + found("duplicate ids", table.name, twice, shown, "keep one row an id (the first is used)")


def _text_findings(table: Table, declared: Entities, frame: pd.DataFrame) -> list[Finding]:
    """Rows whose texts are all empty."""
    if not declared.text:
        return []
    empty = np.all([[not text.strip() for text in _texts(frame[name])] for name in declared.text], axis=0)
    shown = frame[declared.id].to_numpy(object)
    return found("empty text", table.name, empty, shown, "write what the item is; without text it is hard to place")


def _texts(series: AnySeries) -> list[str]:
    return [value or "" for value in coded(series).objects().tolist()]


def _categorical(series: AnySeries) -> list[Values]:
    return list(coded(series).objects())


def _numeric(table: Table, series: AnySeries) -> tuple[list[Values], list[Finding]]:
    value, bad = numbers(series)
    findings = found("bad numbers", table.name, bad, series.to_numpy(object), f"write finite numbers in {series.name}")
    return [None if np.isnan(one) else float(one) for one in value], findings


def _multi(series: AnySeries, separator: str) -> list[Values]:
    """Values as tuples without repetition, of lists (Parquet) or of texts with a separator; None without any."""
    if series.map(lambda value: isinstance(value, list | tuple | np.ndarray)).any():
        return [_distinct(value) if isinstance(value, list | tuple | np.ndarray) else None for value in series]
    column = coded(series)
    parts = [_distinct(value.split(separator) if separator else [value]) for value in column.values]
    return [parts[code] if code >= 0 else None for code in column.codes]


def _distinct(values: Iterable[Value | None]) -> tuple[str, ...] | None:
    """Values as texts, each once, None when there are none."""
    texts = (str(value).strip() for value in values if value is not None)
    return tuple(dict.fromkeys(text for text in texts if text)) or None
