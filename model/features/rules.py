"""The recipe's expression language: comparisons, and/or/not, in, null tests. Parsed into a tree, never run as code.

    event == 'rating' and value >= 4      'Comedy' in genres       18 <= hour < 23
    country not in ['BR', 'US']           price is not null        column('odd name') == 'x'

Three values: a comparison with a missing value is neither true nor false but unknown, as in SQL; `is null` asks for it.
Numbers meet numbers also where one side spells them as text ("18"). Multi-valued attributes hold what is `in` them, and
equal a value when one of theirs does; `in` a text means substring. One tree answers for a mapping (serving) and for
whole columns (training); a law test proves the two equal. Only numpy is needed.
"""

import ast
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.errors import RecipeError
from model.features.truth import (
    Column,
    Every,
    Literal,
    Name,
    Negation,
    Node,
    Scalar,
    Some,
    Test,
    Value,
    names_of,
    numbers,
    truth,
    truths,
)  # fmt: skip

MAX_LENGTH = 4000
MAX_DEPTH = 50
WORDS: dict[str, Scalar] = {"null": None, "true": True, "false": False}
SIGNS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """A parsed expression; `names` are the columns it reads, in order of first mention."""

    text: str
    root: Node
    names: tuple[str, ...]

    def check(self, known: Iterable[str], what: str) -> None:
        """Raise RecipeError naming the first column that is not among `known`, and those that are."""
        columns = list(known)
        for name in self.names:
            if name not in columns:
                listed = ", ".join(sorted(columns))
                raise RecipeError(f"{what}: {self.text}", name, f"there is no such column; known are {listed}")

    def holds(self, record: Mapping[str, Value]) -> bool:
        """Whether the rule is true of a record; unknown counts as not true, a missing key as null."""
        return truth(self.root, record) is True

    def column(self, columns: Mapping[str, Column], rows: int) -> NDArray[np.float64]:
        """The rule over columns of one length, float64 [rows]: 1, 0, NaN (unknown); a bare column gives its numbers.

        Text and multi-valued columns are `Texts`, numeric ones float64 with NaN for null.
        """
        if isinstance(self.root, Name):
            return numbers(columns[self.root.name])
        return truths(self.root, columns, rows)


def parse_rule(text: str, what: str = "rule") -> Rule:
    """Parse an expression; raises RecipeError that shows what cannot be said."""
    try:
        if len(text) > MAX_LENGTH:
            raise _Unsaid(f"{len(text)} characters, more than {MAX_LENGTH}")
        root = _node(_parsed(text), 0)
    except _Unsaid as error:
        raise RecipeError(what, text, f"cannot say {error}; write comparisons with and, or, not, in, is null") from None
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or type(error).__name__
        raise RecipeError(what, text, f"it does not parse ({reason}); write one such as: event == 'buy'") from None
    return Rule(text, root, tuple(dict.fromkeys(names_of(root))))


def _parsed(text: str) -> ast.expr:
    """Python's tree of the text; brackets around it let an expression run over several lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's remarks on escapes and constants are of no use to a recipe's author
        tree = ast.parse(f"({text}\n)", mode="eval").body
    if isinstance(tree, ast.Tuple):
        raise _Unsaid("a list or nothing at all")
    return tree


class _Unsaid(Exception):  # noqa: N818 - becomes a RecipeError at once
    """The language has no such thing."""


def _node(tree: ast.expr, depth: int) -> Node:
    """A tree of ours from Python's, only for what the language has."""
    if depth > MAX_DEPTH:
        raise _Unsaid(f"more than {MAX_DEPTH} levels")
    if isinstance(tree, ast.BoolOp):
        parts = tuple(_node(value, depth + 1) for value in tree.values)
        return Every(parts) if isinstance(tree.op, ast.And) else Some(parts)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        return Negation(_node(tree.operand, depth + 1))
    if isinstance(tree, ast.Compare):
        return _comparison(tree)
    return _operand(tree)


def _comparison(tree: ast.Compare) -> Node:
    """`a < b < c` is `a < b and b < c`."""
    operands = [_operand(one) for one in (tree.left, *tree.comparators)]
    tests = tuple(
        _test(SIGNS[type(sign)], left, right)
        for sign, left, right in zip(tree.ops, operands, operands[1:], strict=False)
    )
    return tests[0] if len(tests) == 1 else Every(tests)


def _test(sign: str, left: Name | Literal, right: Name | Literal) -> Test:
    null, many = right == Literal(None), isinstance(right, Literal) and isinstance(right.value, tuple)
    if sign.startswith("is") and not null:
        raise _Unsaid("`is` with anything but null")
    if null and not sign.startswith("is"):
        raise _Unsaid(f"`{sign} null`, which is never true (use `is null`)")
    if many and not sign.endswith("in"):
        raise _Unsaid(f"`{sign}` with a list (use `in`)")
    if sign.endswith("in") and isinstance(right, Literal) and not many:
        return Test(sign, left, Literal((right.value,)))  # type: ignore[arg-type] # null was refused above
    return Test(sign, left, right)


def _operand(tree: ast.expr) -> Name | Literal:
    if isinstance(tree, ast.Name):
        return Literal(WORDS[tree.id.lower()]) if tree.id.lower() in WORDS else Name(tree.id)
    if isinstance(tree, ast.Constant | ast.UnaryOp):
        return Literal(_constant(tree))
    if isinstance(tree, ast.List | ast.Tuple | ast.Set):
        return Literal(tuple(_constant(one) for one in tree.elts))
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "column":
        return Name(_column_name(tree))
    raise _Unsaid(f"`{ast.unparse(tree)}`")


def _column_name(tree: ast.Call) -> str:
    """The name in column('odd name')."""
    match tree.args, tree.keywords:
        case [ast.Constant(value=str(name))], []:
            return name
    raise _Unsaid("`column(…)` without one quoted name")


def _constant(tree: ast.expr) -> str | float | bool:
    """A string, a finite number (also negative), true or false."""
    negative = isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub)
    inner = tree.operand if isinstance(tree, ast.UnaryOp) and negative else tree
    value = inner.value if isinstance(inner, ast.Constant) else None
    if isinstance(value, str | bool) and not negative:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return -float(value) if negative else float(value)
    raise _Unsaid(f"`{ast.unparse(tree)}` as a constant")
