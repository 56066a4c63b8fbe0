"""The expression language: what it says, what it refuses, and that nothing runs."""

import numpy as np
import pytest

from model.errors import RecipeError
from model.features.rules import MAX_DEPTH, MAX_LENGTH, parse_rule
from model.features.truth import Texts, Value

RECORD: dict[str, Value] = {
    "event": "rating", "value": 4.0, "genres": ("Comedy", "Drama"), "hour": "18", "title": "A long walk", "price": None,
    "flag": True, "day": "2024-05-01", "odd name": "x", "code": 7, "nan": float("nan"), "yes": "true", "word": "maybe",
}  # fmt: skip
TRUE = [
    "event == 'rating' and value >= 4", "'Comedy' in genres", "'Horror' not in genres", "hour >= 18", "17 < hour <= 18",
    "value in [3, 4]", "event in ('rating')", "event not in ('rat')", "price is null", "value is not null",
    "not event == 'buy'", "event == 'buy' or value == 4", "'long' in title", "flag", "not (flag and event == 'buy')",
    "day >= '2024-01-01'", "column('odd name') == 'x'", "hour == 18", "value == '4'", "code == '7'",
    "genres == 'Drama'",
    "genres in ['Horror', 'Drama']", "value > -1", "event == \"rating\"\n and value < 5", "true", "missing is null",
    "nan is null", "flag == true", "yes", "'Drama' == genres", "value != 3", "price is null or price > 3",
]  # fmt: skip
FALSE = [
    "event == 'buy'", "value < 4", "event == 'buy' and price > 3", "not value", "value != 4", "genres == 'Horror'",
    "'18' != hour", "false", "event > 'sold'",
]  # fmt: skip
UNKNOWN = [
    "price > 3",
    "not price > 3",
    "price == 3 or value < 0",
    "missing == 1",
    "title > 3",
    "'x' in price",
    "word",
    "nan == 1",
]


@pytest.mark.parametrize("text", TRUE)
def test_what_is_true(text: str) -> None:
    assert parse_rule(text).holds(RECORD)


@pytest.mark.parametrize("text", FALSE)
def test_what_is_false_has_a_true_contrary(text: str) -> None:
    assert not parse_rule(text).holds(RECORD)
    assert parse_rule(f"not ({text})").holds(RECORD)


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_is_unknown_is_neither_true_nor_false(text: str) -> None:
    assert not parse_rule(text).holds(RECORD)
    assert not parse_rule(f"not ({text})").holds(RECORD)


REFUSED = [
    ("__import__('os').system('true')", "cannot say `__import__"),
    ("a.b == 1", r"cannot say `a\.b`"),
    ("a + 1 > 2", r"cannot say `a \+ 1`"),
    ("f(a)", r"cannot say `f\(a\)`"),
    ("column(a)", "cannot say `column"),
    ("[x for x in a]", "cannot say"),
    ("(lambda: 1)", "cannot say"),
    ("a == null", "use `is null`"),
    ("a is 3", "`is` with anything but null"),
    ("a == [1, 2]", "use `in`"),
    ("a == 1j", "as a constant"),
    ("-'x' == a", "as a constant"),
    ("a == 1e999", "as a constant"),
    ("a in [b]", "`b` as a constant"),
    ("a, b", "a list or nothing"),
    ("", "a list or nothing"),
    ("a ==", "does not parse"),
    ("a = 3", "does not parse"),
    ("(" * 300 + "a" + ")" * 300, "does not parse"),
    ("a == " + "9" * 400, "does not parse"),
    ("not " * (MAX_DEPTH + 2) + "a", f"more than {MAX_DEPTH} levels"),
    ("a" * (MAX_LENGTH + 1), f"more than {MAX_LENGTH}"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_cannot_be_said_is_refused(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        parse_rule(text, "task like: label")


def test_a_rule_names_its_columns_and_refuses_unknown_ones() -> None:
    rule = parse_rule("b > 1 and (a == 2 or not b) and c is null")
    assert rule.names == ("b", "a", "c")
    rule.check(["c", "b", "a", "d"], "label")
    with pytest.raises(RecipeError, match=r"label: b > 1.*: found 'a'; there is no such column; known are b, c"):
        rule.check(["c", "b"], "label")


def test_columns_are_judged_at_once() -> None:
    event = Texts(np.asarray([0, 1, -1, 0]), ("rating", "view"))
    value = np.asarray([5.0, np.nan, 5.0, np.nan])
    found = parse_rule("event == 'rating' and value >= 4").column({"event": event, "value": value}, 4)
    np.testing.assert_array_equal(found, [1, 0, np.nan, np.nan])


def test_a_bare_column_gives_its_numbers() -> None:
    column = Texts(np.asarray([0, 1, 2, -1]), ("3", "x", "4.5"))
    np.testing.assert_array_equal(parse_rule("a").column({"a": column}, 4), [3, np.nan, 4.5, np.nan])
    np.testing.assert_array_equal(parse_rule("a").column({"a": np.asarray([2.0, np.nan])}, 2), [2, np.nan])


def test_a_rule_without_columns_holds_everywhere_alike() -> None:
    np.testing.assert_array_equal(parse_rule("true").column({}, 3), [1, 1, 1])


def test_two_columns_can_be_compared() -> None:
    left, right = np.asarray([1.0, 2.0, np.nan]), Texts(np.asarray([0, 0, 0]), ("1",))
    np.testing.assert_array_equal(parse_rule("a == b").column({"a": left, "b": right}, 3), [1, 0, np.nan])
