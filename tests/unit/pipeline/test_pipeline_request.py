"""Requests: whose state they read, and refusals that name field, value and range."""

from typing import Any

import pytest

from app.pipeline.request import RecommendRequest, SessionEvent, check_request
from model.errors import RequestError
from tests.pipelines import sealed

NAN = float("nan")


def test_a_user_comes_before_a_session() -> None:
    assert RecommendRequest(user_id="7", session_id="x").user_key == "u:7"
    assert RecommendRequest(session_id="x").user_key == "s:x"
    assert RecommendRequest().user_key is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n": 0}, r"n: found 0; ask for 1 to 200 items"),
        ({"n": 201}, r"n: found 201; ask for 1 to 200"),
        ({"diversity": 1.5}, r"diversity: found 1\.5; give a number from 0 to 1"),
        ({"diversity": NAN}, r"diversity: found nan"),
        ({"timeout_ms": 0}, r"timeout_ms: found 0; give at least 1 millisecond"),
        (
            {"history": [SessionEvent("i1", "buy")]},
            r"history\.type: found 'buy'; known event types are view, like, rating",
        ),
        ({"history": [SessionEvent("i1", "view", NAN)]}, r"history\.value: found nan; give a finite number"),
        ({"history": [SessionEvent("i1", "view", None, NAN)]}, r"history\.timestamp: found nan"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        check_request(RecommendRequest(**asked), sealed().spec)


def test_the_edges_are_allowed() -> None:
    for asked in ({"n": 1}, {"n": 200}, {"diversity": 0.0}, {"diversity": 1.0}, {"timeout_ms": 1}):
        check_request(RecommendRequest(**asked), sealed().spec)
