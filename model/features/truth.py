"""Truth of a parsed rule, of one record or of whole columns: true, false, or unknown where a value is missing."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.features.spec import plain

Scalar: TypeAlias = str | float | bool | None
Value: TypeAlias = Scalar | Sequence[str | float | bool]
Truth: TypeAlias = bool | None

ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts or multi-valued attributes: codes int64 [n] into `values`, −1 for null."""

    codes: NDArray[np.int64]
    values: Sequence[Value]


Column: TypeAlias = NDArray[np.float64] | Texts  # NaN: null


@dataclass(frozen=True, slots=True)
class Name:
    """A column."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant, or a list of constants on the right of `in`."""

    value: Value


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison: a sign of SIGNS between two operands."""

    sign: str
    left: "Name | Literal"
    right: "Name | Literal"


@dataclass(frozen=True, slots=True)
class Every:
    """All parts are true (`and`)."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part is true (`or`)."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Negation:
    """The part is false (`not`)."""

    part: "Node"


Node: TypeAlias = Name | Literal | Test | Every | Some | Negation


def names_of(node: Node) -> list[str]:
    """The columns that a tree reads, with repetitions."""
    match node:
        case Name(name):
            return [name]
        case Test(_, left, right):
            return names_of(left) + names_of(right)
        case Every(parts) | Some(parts):
            return [name for part in parts for name in names_of(part)]
        case Negation(part):
            return names_of(part)
    return []


def truth(node: Node, record: Mapping[str, Value]) -> Truth:
    """True, false or unknown (None) of one record."""
    match node:
        case Every(parts):
            return _all(truth(part, record) for part in parts)
        case Some(parts):
            return _not(_all(_not(truth(part, record)) for part in parts))
        case Negation(part):
            return _not(truth(part, record))
        case Test(sign, left, right):
            return _holds(sign, _read(left, record), _read(right, record))
    return _truthy(_read(node, record))


def _read(node: Name | Literal, record: Mapping[str, Value]) -> Value:
    return node.value if isinstance(node, Literal) else record.get(node.name)


def _not(value: Truth) -> Truth:
    return None if value is None else not value


def _all(values: Iterable[Truth]) -> Truth:
    """Conjunction: one false decides, else one unknown does."""
    found = set(values)
    return False if False in found else None if None in found else True


def _truthy(value: Value) -> Truth:
    """A bare column as a condition: numbers but 0, `true`; other text is unknown."""
    found = _number({"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value)
    return None if found is None else found != 0


def _holds(sign: str, left: Value, right: Value) -> Truth:
    """One comparison of two values."""
    if sign.startswith("is"):
        return _missing(left) == (sign == "is")
    if _missing(left) or _missing(right):
        return None
    if sign in ("==", "!="):
        return _equal(left, right) == (sign == "==")
    if sign in ("in", "not in"):
        return _within(left, right) == (sign == "in")
    return _ordered(sign, left, right)


def _missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _equal(left: Value, right: Value) -> bool:
    """Equal as numbers, else as the vocabulary spells them; a multi-valued side equals when one of its values does."""
    if isinstance(left, list | tuple):
        return any(_equal(one, right) for one in left)
    if isinstance(right, list | tuple):
        return any(_equal(left, one) for one in right)
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    one, other = _number(left), _number(right)
    return _spelled(left) == _spelled(right) if one is None or other is None else one == other


def _within(left: Value, right: Value) -> bool:
    """Substring of a text, member of anything else."""
    return left in right if isinstance(left, str) and isinstance(right, str) else _equal(left, right)


def _ordered(sign: str, left: Value, right: Value) -> Truth:
    """By number, or by text when both are text (ISO dates); unknown when one side is no number."""
    if isinstance(left, str) and isinstance(right, str):
        return bool(ORDERS[sign](left, right))
    one, other = _number(left), _number(right)
    return None if one is None or other is None else bool(ORDERS[sign](one, other))


def _spelled(value: Value) -> str | None:
    return plain(value) if isinstance(value, str | int | float) else None


def _number(value: Value) -> float | None:
    """A finite number, also when spelled as text; None for everything else."""
    try:
        found = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def truths(node: Node, columns: Mapping[str, Column], rows: int) -> NDArray[np.float64]:
    """`truth` over columns, float64 [rows]."""
    match node:
        case Every(parts):
            return _every([truths(part, columns, rows) for part in parts])
        case Some(parts):
            return 1 - _every([1 - truths(part, columns, rows) for part in parts])
        case Negation(part):
            return 1 - truths(part, columns, rows)
        case Test(sign, Name(name), Literal(float(value))) if sign in ORDERS:
            column = columns[name]
            if not isinstance(column, Texts):
                return np.where(np.isnan(column), np.nan, ORDERS[sign](column, value))
    return _lifted(node, columns, rows)


def _every(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    found = np.stack(parts)
    return np.where((found == 0).any(0), 0.0, np.where(np.isnan(found).any(0), np.nan, 1.0))


def _lifted(node: Node, columns: Mapping[str, Column], rows: int) -> NDArray[np.float64]:
    """`truth` once for each distinct combination of the values that a node reads (two columns at most)."""
    names = tuple(dict.fromkeys(names_of(node)))
    read = [_texts(columns[name]) for name in names]
    mixed = np.zeros(rows, np.int64)
    for column in read:
        mixed = mixed * (len(column.values) + 1) + column.codes + 1
    distinct, inverse = np.unique(mixed, return_inverse=True)
    found = [truth(node, dict(zip(names, _unmixed(number, read), strict=True))) for number in distinct.tolist()]
    return _floats(found)[inverse]


def _unmixed(number: int, read: Sequence[Texts]) -> list[Value]:
    """The values that a mixed number stands for."""
    values: list[Value] = []
    for column in reversed(read):
        number, place = divmod(number, len(column.values) + 1)
        values.append(column.values[place - 1] if place else None)
    return values[::-1]


def _texts(column: Column) -> Texts:
    """A column by its distinct values."""
    if isinstance(column, Texts):
        return column
    values, codes = np.unique(column, return_inverse=True)
    return Texts(np.where(np.isnan(column), -1, codes), values.tolist())


def _floats(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.asarray([math.nan if value is None else float(value) for value in values], np.float64)


def numbers(column: Column) -> NDArray[np.float64]:
    """A column as numbers, NaN where it has none."""
    if isinstance(column, Texts):
        return _floats([*(_number(value) for value in column.values), None])[column.codes]
    return column
