"""Scenes over HTTP: items of one scene, and which scenes to show."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.answers import RecommendAnswer
from app.pipeline.scenes import ITEMS as SHOWN
from app.pipeline.scenes import scene_score
from tests.serving import ITEMS, FlakyStore, serving

COMEDIES = {f"i{row}" for row in range(0, ITEMS, 5)}
EVENING = {"hour": 20}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving() as found:
        yield found


def ask(client: TestClient, **asked: Any) -> dict[str, Any]:
    answer = client.post("/recommend", json=asked)
    assert answer.status_code == 200, answer.text
    RecommendAnswer.model_validate(answer.json())
    return dict(answer.json())


def names(items: list[dict[str, Any]]) -> set[str]:
    return {one["item_id"] for one in items}


def test_a_scene_shows_only_its_own_items_to_whoever_asks(client: TestClient) -> None:
    for who in ({"user_id": "u1", "exclude_seen": False}, {}, {"session_id": "new"}):
        assert names(ask(client, n=200, scene="comedies", **who)["items"]) == COMEDIES
    filtered = ask(client, n=200, scene="comedies", filter={"include": {"release_year": [{"min": 1990}]}})
    assert names(filtered["items"]) == {name for name in COMEDIES if 1975 + int(name[1:]) % 40 >= 1990}


def test_what_is_put_at_run_time_is_in_its_scene_at_once(client: TestClient) -> None:
    client.put("/items/fresh", json={"text": {"title": "storm"}, "attributes": {"genres": ["comedy"]}})
    assert "fresh" in names(ask(client, n=200, scene="comedies", user_id="u2")["items"])
    client.delete("/items/fresh")
    assert "fresh" not in names(ask(client, n=200, scene="comedies", user_id="u2")["items"])


def test_scenes_that_suit_are_ranked_by_their_best_items(client: TestClient) -> None:
    answer = ask(client, target="scene", user_id="u1", context=EVENING)
    (only,) = answer["scenes"]
    assert only["scene"] == "comedies"
    assert len(only["items"]) <= SHOWN
    alone = ask(client, scene="comedies", user_id="u1", context=EVENING, n=SHOWN)
    assert only["items"] == alone["items"]
    assert only["score"] == pytest.approx(scene_score([one["score"] for one in alone["items"]]))
    assert "items" not in answer


def test_by_day_no_scene_suits(client: TestClient) -> None:
    answer = ask(client, target="scene", user_id="u1", context={"hour": 9})
    assert answer["scenes"] == []
    assert answer["recommendation_id"]


def test_scenes_without_anything_left_to_show_are_left_out(client: TestClient) -> None:
    assert ask(client, target="scene", context=EVENING, exclude_items=sorted(COMEDIES))["scenes"] == []


def test_a_score_is_that_of_the_best_items_and_what_is_missing_counts() -> None:
    assert scene_score([0.5] * 9) == pytest.approx(0.5)
    assert scene_score([0.5] * 4) < 0.5
    assert scene_score([0.9, 0.1, 0.1, 0.1, 0.1]) > scene_score([0.1, 0.1, 0.1, 0.1, 0.9])
    assert scene_score([]) == 0


def test_impressions_of_scenes_say_so_under_the_answers_id() -> None:
    store = FlakyStore()
    with serving(store) as client:
        made = ask(client, target="scene", user_id="u1", context=EVENING)
    (entry,) = asyncio.run(store.claim("impressions", "test", 10))
    assert entry.record is not None
    assert entry.record.recommendation_id == made["scenes"][0]["recommendation_id"] == made["recommendation_id"]
    assert set(entry.record.item_ids) == names(made["scenes"][0]["items"])  # type: ignore[union-attr]
    assert entry.record.context == {"hour": 20, "scene": "comedies"}


def test_with_the_state_away_scenes_are_answered_degraded() -> None:
    store = FlakyStore()
    with serving(store) as client:
        object.__setattr__(store, "away", True)
        answer = ask(client, target="scene", user_id="u1", context=EVENING)
        object.__setattr__(store, "away", False)
    assert answer["degraded"]
    assert answer["scenes"]


@pytest.mark.parametrize(
    ("asked", "field", "expected"),
    [
        ({"scene": "dramas"}, "scene", "comedies"),
        ({"scene": "comedies", "target": "scene"}, "scene", "no scene with this target"),
        ({"target": "scene", "context": EVENING, "task_weights": {"buy": 1}}, "task_weights", "interest"),
    ],
)
def test_what_cannot_be_asked_of_scenes_is_refused_by_name(
    client: TestClient, asked: dict[str, Any], field: str, expected: str
) -> None:
    answer = client.post("/recommend", json=asked)
    error = answer.json()["errors"][0]
    assert (answer.status_code, error["field"].split(".")[0]) == (422, field)
    assert expected in error["expected"] or expected in error["message"]
