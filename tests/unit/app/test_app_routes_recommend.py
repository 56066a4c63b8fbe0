"""POST /recommend over HTTP: what is asked reaches the pipeline, what it answers comes back whole."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.answers import RecommendAnswer
from app.pipeline.answer import Answer, AnsweredItem, Reason
from app.routes.recommend import to_bytes, to_request
from app.wire import RecommendBody
from tests.serving import ITEMS, ONE, FlakyStore, serving


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving() as found:
        yield found


def ask(client: TestClient, **asked: Any) -> dict[str, Any]:
    answer = client.post("/recommend", json=asked)
    assert answer.status_code == 200, answer.text
    RecommendAnswer.model_validate(answer.json())
    return dict(answer.json())


def test_a_known_user_gets_n_items_by_score_with_every_task(client: TestClient) -> None:
    answer = ask(client, user_id="u1", n=7)
    scores = [one["score"] for one in answer["items"]]
    assert (len(scores), answer["bundle"], answer["fallback"], answer["degraded"]) == (7, ONE, None, False)
    assert scores == sorted(scores, reverse=True)
    assert all(one["task_scores"].keys() == {"interest", "like", "rating"} for one in answer["items"])
    assert all(one["channels"] for one in answer["items"])
    assert "reasons" not in answer["items"][0]


def test_nobody_and_an_unknown_user_get_a_full_list_by_a_named_fallback(client: TestClient) -> None:
    for asked in ({}, {"user_id": "nobody knows"}, {"session_id": "s"}):
        answer = ask(client, **asked)
        assert (len(answer["items"]), answer["fallback"], answer["degraded"]) == (20, "popular", False)


def test_a_session_told_with_the_request_changes_the_list(client: TestClient) -> None:
    history = [{"item_id": "i0", "type": "like"}, {"item_id": "i5", "type": "rating", "value": 5, "timestamp": 1e9}]
    answer = ask(client, history=history, n=ITEMS)
    found = [one["item_id"] for one in answer["items"]]
    assert answer["fallback"] is None
    assert not {"i0", "i5"} & set(found)
    assert len(found) == ITEMS - 2


def test_filters_exclusions_query_and_explanations_reach_the_pipeline(client: TestClient) -> None:
    comedies = {"include": {"genres": ["comedy"]}, "exclude": {"release_year": [{"max": 1990}]}}
    answer = ask(client, n=200, filter=comedies, exclude_items=["i20"], explain=True, query="storm")
    found = {one["item_id"] for one in answer["items"]}
    assert found == {f"i{row}" for row in range(0, ITEMS, 5) if 1975 + row % 40 > 1990} - {"i20"}
    assert all(isinstance(one["reasons"], list) for one in answer["items"])


def test_seen_items_come_only_when_asked_for(client: TestClient) -> None:
    unseen, every = ask(client, user_id="u1", n=200), ask(client, user_id="u1", n=200, exclude_seen=False)
    assert len(every["items"]) == ITEMS
    assert len(unseen["items"]) < ITEMS


def test_task_weights_decide_the_score(client: TestClient) -> None:
    item = ask(client, user_id="u1", n=1, task_weights={"like": 2.0})["items"][0]
    assert item["score"] == pytest.approx(item["task_scores"]["like"])


def test_the_deadline_that_passes_is_answered_by_a_fallback() -> None:
    with serving() as client:
        engine = client.app.state.service.live.recommender.engine  # type: ignore[attr-defined] # the ASGI app's state
        real = engine.ranked
        engine.ranked = lambda *given: slowly(real, *given)
        answer = ask(client, user_id="u1", timeout_ms=50)
    assert (answer["fallback"], answer["degraded"], len(answer["items"])) == ("popular", True, 20)


def test_with_the_state_away_the_answer_is_degraded_and_still_full() -> None:
    store = FlakyStore()
    with serving(store) as client:
        store.away = True  # type: ignore[attr-defined] # set in its __init__
        answer = ask(client, user_id="u1")
        assert (answer["degraded"], answer["fallback"], len(answer["items"])) == (True, "popular", 20)
        assert 'polyrank_fallbacks_total{fallback="popular"} 1.0' in client.get("/metrics").text


def slowly(function: Callable[..., Any], *given: Any) -> Any:
    time.sleep(0.4)
    return function(*given)


@pytest.mark.parametrize(
    ("asked", "field", "expected"),
    [
        ({"target": "user"}, "target", "links no users"),
        ({"task_weights": {"buy": 1}}, "task_weights", "interest, like, rating"),
        ({"task_weights": {"like": 0}}, "task_weights", "above 0"),
        ({"filter": {"include": {"colour": ["red"]}}}, "filter attribute", "genres, release_year"),
        ({"history": [{"item_id": "i1", "type": "buy"}]}, "history.type", "view, like, rating"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(
    client: TestClient, asked: dict[str, Any], field: str, expected: str
) -> None:
    answer = client.post("/recommend", json=asked)
    error = answer.json()["errors"][0]
    assert (answer.status_code, error["field"].split(".")[0]) == (422, field.split(".")[0])
    assert expected in error["expected"] or expected in error["message"]


def test_impressions_are_in_the_stream_once_the_service_has_ended() -> None:
    store = FlakyStore()
    with serving(store) as client:
        made = ask(client, user_id="u1", n=3)
    (entry,) = asyncio.run(store.claim("impressions", "test", 10))
    assert entry.record is not None
    assert entry.record.recommendation_id == made["recommendation_id"]
    assert list(entry.record.item_ids) == [one["item_id"] for one in made["items"]]  # type: ignore[union-attr]


def test_the_wire_and_the_pipeline_say_the_same() -> None:
    body = RecommendBody.model_validate_json(
        b'{"user_id":"u","session_id":"s","n":5,"context":{"hour":20,"device":"mobile"},"history":[{"item_id":"i",'
        b'"type":"view","timestamp":"1970-01-01T00:01:00Z"}],"query":"q","filter":{"include":{"a":["b"]}},'
        b'"exclude_items":["x"],"exclude_seen":false,"task_weights":{"t":1},"diversity":0.5,"explain":true,"timeout_ms":9}'
    )
    made = to_request(body)
    assert (made.user_id, made.session_id, made.n, made.query, made.diversity) == ("u", "s", 5, "q", 0.5)
    assert made.context == {"hour": 20.0, "device": "mobile"}
    assert (made.history[0].item_id, made.history[0].timestamp, made.history[0].value) == ("i", 60.0, None)
    assert (made.include, made.exclude, made.exclude_items) == ({"a": ["b"]}, {}, ["x"])
    assert (made.exclude_seen, made.explain, made.timeout_ms, made.task_weights) == (False, True, 9, {"t": 1.0})


def test_an_answer_with_reasons_is_written_whole() -> None:
    reason = Reason("because", "you liked it", {"item_id": "j"})
    item = AnsweredItem("i", 0.5, {"like": 0.5}, ("tower",), 0, reasons=(reason,))
    shape = RecommendAnswer.model_validate_json(to_bytes(Answer("r", "b", (item,), None, False, 1.5)))
    assert shape.items is not None
    assert shape.items[0].reasons == [{"kind": "because", "text": "you liked it", "facts": {"item_id": "j"}}]
    assert (shape.took_ms, shape.items[0].channels) == (1.5, ["tower"])
