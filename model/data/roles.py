"""What one column of an interactions table becomes in its role: event types, context, part."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.config import ContextColumn, EventColumn
from model.data.log import MISSING, PARTS
from model.data.values import Coded, coded, derived_time

DERIVED = ("hour", "weekday")  # context columns made of the timestamp when the table has none of the name
NO_PART = -1
BAD_PART = -2
PART_NAMES = dict(zip(PARTS, range(3), strict=True)) | {"training": 0, "val": 1, "validation": 1, "dev": 1}


def event_kinds(event: str | EventColumn | None, frame: pd.DataFrame) -> tuple[Coded, Coded]:
    """Event type of each row (missing: not mapped, or the table has no events), and the column it was read from."""
    if not isinstance(event, EventColumn):
        kind = Coded(np.full(len(frame), 0 if event else MISSING, np.int64), (event,) if event else ())
        return kind, kind
    raw = coded(frame[event.column])
    return (raw.renamed([event.map.get(value) for value in raw.values]) if event.map else raw), raw


def context_column(column: ContextColumn, frame: pd.DataFrame, time: NDArray[np.float64]) -> Coded:
    """A context column: of the time where the table has none, its values made from substrings where declared."""
    if column.column not in frame:
        return derived_time(column.column, time)
    raw = coded(frame[column.column])
    return raw.renamed([_matched(column, value) for value in raw.values]) if column.match else raw


def _matched(column: ContextColumn, value: str) -> str | None:
    """The context value of the first substring that occurs, else the default."""
    return next((name for part, name in column.match if part in value), column.default)


def split_parts(raw: Coded) -> NDArray[np.int8]:
    """What a split column says, int8 [n]; BAD_PART for what is no part."""
    parts = [PART_NAMES.get(value.lower(), BAD_PART) for value in raw.values]
    return np.asarray([*parts, BAD_PART], np.int8)[raw.codes]
