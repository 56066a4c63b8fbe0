"""Rows that loading could not take as they are, with examples a person can look up."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.data.log import Finding
from model.ids import IdError, check_id

EXAMPLES = 10
Shown: TypeAlias = Sequence[object] | NDArray[Any]


def found(name: str, table: str, bad: NDArray[np.bool_], shown: Shown, move: str) -> list[Finding]:
    """One finding about the rows that `bad` marks, none when there are none; `shown` are the rows' values."""
    rows = np.flatnonzero(bad)
    examples = tuple(f"row {row + 1}: {_value(shown[row])!r}" for row in rows[:EXAMPLES].tolist())
    return [Finding(name, table, len(rows), len(bad), examples, move)] if len(rows) else []


def _value(shown: object) -> object:
    """A value as Python writes it."""
    return shown.item() if isinstance(shown, np.generic) else shown


def bad_ids(values: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts cannot be ids, bool [n + 1]: the last one stands for missing, so that codes of −1 read it."""
    return np.asarray([*(not _is_id(value) for value in values), True], bool)


def _is_id(value: str) -> bool:
    try:
        check_id(value)
    except IdError:
        return False
    return True
