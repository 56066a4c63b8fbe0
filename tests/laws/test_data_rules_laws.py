"""One rule, one truth: for records and for columns, under negation, and against Python's own logic."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.features.rules import parse_rule
from model.features.truth import Column, Texts, Value

NUMBERS = st.one_of(st.none(), st.integers(-3, 3).map(float))
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "1", "2.0", "ab"]))
MANY = st.one_of(st.none(), st.lists(st.sampled_from(["a", "b", "1"]), unique=True).map(tuple))
ROWS = st.lists(st.tuples(NUMBERS, TEXTS, MANY), min_size=1, max_size=12)
TESTS = st.sampled_from(
    [
        "n > 0",
        "n == 1", "n != 2", "n in [0, 1]", "n is null", "t == 'a'", "t in ['a', '1']", "t not in ['b']",
        "t >= 1",
        "t is not null", "'a' in m", "'b' not in m", "m == '1'", "n == t", "t in m", "n <= t", "n", "-1 <= n < 2",
        "'a' in t",
    ]
)  # fmt: skip
RULES = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        ),
    ),
    max_leaves=6,
)


def _columns(rows: list[tuple[float | None, str | None, tuple[str, ...] | None]]) -> dict[str, Column]:
    numbers, texts, many = zip(*rows, strict=True)
    return {
        "n": np.asarray([np.nan if one is None else one for one in numbers]),
        "t": _texts(list(texts)),
        "m": _texts(list(many)),
    }


def _texts(values: list[Value]) -> Texts:
    return Texts(np.asarray([-1 if one is None else place for place, one in enumerate(values)]), values)


@given(RULES, ROWS)
def test_columns_say_what_records_say(
    text: str, rows: list[tuple[float | None, str | None, tuple[str, ...] | None]]
) -> None:
    rule = parse_rule(f"({text}) and true")
    together = rule.column(_columns(rows), len(rows))
    for row, found in zip(rows, together, strict=True):
        assert rule.holds(dict(zip("ntm", row, strict=True))) == (found == 1)


@given(RULES, ROWS)
def test_a_rule_and_its_contrary_are_never_both_true(
    text: str, rows: list[tuple[float | None, str | None, tuple[str, ...] | None]]
) -> None:
    columns = _columns(rows)
    one = parse_rule(f"({text}) and true").column(columns, len(rows))
    other = parse_rule(f"not ({text})").column(columns, len(rows))
    assert not ((one == 1) & (other == 1)).any()
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))


@given(st.integers(-3, 3), st.integers(-3, 3))
def test_known_numbers_follow_pythons_logic(a: int, b: int) -> None:
    text = "a < b or (a == 2 and not b >= 1)"
    assert parse_rule(text).holds({"a": a, "b": b}) == (a < b or (a == 2 and not b >= 1))
