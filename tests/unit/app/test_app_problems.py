"""Problems and the words in them."""

import json
import math

import pytest
from pydantic import BaseModel, ValidationError

from app.expected import allowed_at, dotted, problem_of, sentence_of
from app.problems import MAX_ERRORS, FieldError, Problem, clipped, invalid, of_error, of_status, shown, too_large
from app.wire import FeedbackEvent, ItemPatch, RecommendBody
from model.errors import BundleError, PolyrankError, RequestError, StateError
from model.ids import IdError


@pytest.mark.parametrize(
    ("error", "status", "kind", "headers"),
    [
        (RequestError("n", 0, "ask for more"), 422, "invalid-request", {}),
        (IdError("id", "", "give one"), 422, "invalid-request", {}),
        (BundleError("x/ranker.onnx", "…", "restore it"), 409, "bundle-refused", {}),
        (StateError("state store", "away", "wait"), 503, "state-away", {"Retry-After": "2"}),
    ],
)
def test_deliberate_errors_have_their_status(
    error: PolyrankError, status: int, kind: str, headers: dict[str, str]
) -> None:
    problem = of_error(error)
    assert problem is not None
    assert (problem.status, problem.kind, problem.headers) == (status, kind, headers)
    assert problem.detail == str(error)


def test_anything_else_is_no_problem_of_the_callers() -> None:
    assert of_error(ValueError("x")) is None
    problem = invalid([FieldError("n", 0, "more", "found 0")])
    assert of_error(problem) is problem


def test_a_problem_is_rfc_9457() -> None:
    errors = [FieldError(f"f{number}", number, "less", "found more") for number in range(MAX_ERRORS + 5)]
    body = json.loads(invalid(errors).body("/recommend"))
    assert body["type"] == "urn:polyrank:problem:invalid-request"
    assert (body["title"], body["status"], body["instance"]) == ("Unprocessable Entity", 422, "/recommend")
    assert body["detail"] == f"f0: found more (and {MAX_ERRORS + 4} more)"
    assert len(body["errors"]) == MAX_ERRORS
    assert body["errors"][0] == {"field": "f0", "value": 0, "expected": "less", "message": "found more"}
    assert json.loads(of_status(404).body("/" + "x" * 10_000))["instance"].endswith("…")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("short", "short"),
        ("x" * 500, "x" * 119 + "…"),
        (10**5000, "an integer of 16610 bits"),
        (2**53, "an integer of 54 bits"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        ([1, 2], "a list of 2"),
        ({"a": 1}, "an object with 1 keys"),
        ("a\ud800b", "a?b"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_shown_as_they_are_when_short_and_plain(value: object, expected: object) -> None:
    assert shown(value) == expected


def test_clipping_keeps_what_fits() -> None:
    assert clipped("abc", 3) == "abc"
    assert clipped("abcd", 3) == "ab…"


def test_a_cut_off_body_has_no_size() -> None:
    assert too_large(None, 10).errors[0].value == "more"
    assert too_large(11, 10).errors[0].value == 11


def test_an_unexpected_kind_of_schema_is_any_json() -> None:
    class Loose(BaseModel):
        anything: object

    assert allowed_at(Loose, ("anything",)) == "a JSON value"


def problem(model: type[BaseModel], text: str) -> Problem:
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(text)
    return problem_of(caught.value, model)


def test_what_is_allowed_is_read_off_the_schema() -> None:
    assert allowed_at(RecommendBody, ("n",)) == "an integer from 1 to 200"
    assert allowed_at(RecommendBody, ("history", 3, "value")) == "a number from -1e+30 to 1e+30"
    assert allowed_at(RecommendBody, ("filter", "include", "x")) == "a list of at most 1000 elements"
    assert allowed_at(RecommendBody, ("context",)) == "an object of at most 100 keys"
    assert allowed_at(RecommendBody, ("timeout_ms",)) == "an integer from 1 to 60000"
    assert allowed_at(ItemPatch, ("text", "title")) == "a string of at most 20000 characters"
    assert allowed_at(RecommendBody, ("no", 3, "such")) == "a JSON value"
    assert allowed_at(RecommendBody, ()) == "an object"


def test_every_fault_is_named() -> None:
    found = problem(RecommendBody, '{"n":0,"diversity":2,"x":1}')
    assert [one.field for one in found.errors] == ["n", "diversity", "x"]
    assert dotted(("context", "a", "[key]")) == "context.a"


def test_rules_over_several_fields_name_the_field() -> None:
    found = problem(FeedbackEvent, '{"type":"t","item_id":"i"}')
    assert (found.errors[0].field, found.errors[0].value) == ("user_id", None)
    assert found.errors[0].expected == "missing; give user_id or session_id"
    weights = problem(RecommendBody, '{"task_weights":{"a":0}}')
    assert (weights.errors[0].field, weights.errors[0].value) == ("task_weights", {"a": 0})


def test_an_element_of_a_list_is_refused_in_one_sentence() -> None:
    for element, expected in ((7, "found 7; expected an object"), ({"type": 1}, "type: found 1; expected a string")):
        with pytest.raises(ValidationError) as caught:
            FeedbackEvent.model_validate(element)
        assert sentence_of(caught.value, FeedbackEvent).startswith(expected)
