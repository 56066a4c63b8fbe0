"""POST /feedback over HTTP: one or many, each counted once, never accepted and lost."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.serving import FlakyStore, eventually, serving


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving(max_events=5) as found:
        yield found


def event(**more: Any) -> dict[str, Any]:
    return {"type": "like", "user_id": "ann", "item_id": "i3", **more}


def events_of(client: TestClient, user: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/users/{user}/export").json()["events"]
    return found


def test_an_event_is_accepted_once_and_exported_as_it_was_told(client: TestClient) -> None:
    told = event(event_id="e1", value=4, timestamp=1e9, session_id="s", recommendation_id="r", context={"hour": 20})
    for accepted, duplicates in ((1, 0), (0, 1)):
        answer = client.post("/feedback", json=told)
        assert answer.status_code == 202
        assert answer.json() == {
            "accepted": accepted,
            "duplicates": duplicates,
            "rejected": [],
            "durability": "memory",
        }
    assert events_of(client, "ann") == [told]


def test_an_event_without_id_and_time_gets_both(client: TestClient) -> None:
    before = time.time()
    for _ in range(2):
        assert client.post("/feedback", json=event(user_id="bob")).json()["accepted"] == 1
    first, second = events_of(client, "bob")
    assert first["event_id"] != second["event_id"]
    assert before <= first["timestamp"] <= time.time()


def test_times_may_be_iso_8601(client: TestClient) -> None:
    client.post("/feedback", json=[event(user_id="iso", timestamp="2024-02-29T12:00:00+02:00")])
    assert events_of(client, "iso")[0]["timestamp"] == 1709200800.0


def test_in_a_list_each_event_stands_alone(client: TestClient) -> None:
    told = [event(user_id="cy", event_id="c1"), {"type": "like"}, event(type="buy"), event(user_id="cy", event_id="c1")]
    answer = client.post("/feedback", json=told).json()
    assert (answer["accepted"], answer["duplicates"]) == (1, 1)
    assert [one["index"] for one in answer["rejected"]] == [1, 2]
    assert answer["rejected"][0]["error"].startswith("item_id: missing")
    assert "'view', 'like', 'rating'" in answer["rejected"][1]["error"]


@pytest.mark.parametrize("told", [[], [{}, 7, None]])
def test_a_list_of_nothing_good_accepts_nothing(client: TestClient, told: list[object]) -> None:
    answer = client.post("/feedback", json=told)
    assert (answer.status_code, answer.json()["accepted"], len(answer.json()["rejected"])) == (202, 0, len(told))


@pytest.mark.parametrize(
    ("told", "field"),
    [
        (event(type="buy"), "type"),
        (event(timestamp="yesterday"), "timestamp"),
        (event(timestamp=time.time() * 1000), "timestamp"),
        (event(timestamp=-1), "timestamp"),
        ({"type": "like", "item_id": "i1"}, "user_id"),
        (event(colour="red"), "colour"),
        ([event()] * 6, "events"),
    ],
)
def test_a_single_bad_event_is_refused_by_field(client: TestClient, told: object, field: str) -> None:
    answer = client.post("/feedback", json=told)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_the_next_list_has_seen_the_event(client: TestClient) -> None:
    asked = {"session_id": "s-9", "n": 200}
    before = client.post("/recommend", json=asked).json()
    client.post("/feedback", json={"type": "like", "session_id": "s-9", "item_id": "i7"})
    after = client.post("/recommend", json=asked).json()
    assert (before["fallback"], after["fallback"]) == ("popular", None)
    assert {one["item_id"] for one in before["items"]} - {one["item_id"] for one in after["items"]} == {"i7"}


def test_items_nobody_knows_are_accepted(client: TestClient) -> None:
    assert client.post("/feedback", json=event(user_id="dee", item_id="from another world")).json()["accepted"] == 1


def test_a_user_whose_session_has_the_same_name_is_a_user(client: TestClient) -> None:
    client.post("/feedback", json=event(user_id="same", session_id="same"))
    assert events_of(client, "same")[0]["user_id"] == "same"


def test_popular_items_follow_the_stream(client: TestClient) -> None:
    assert "popular" not in channels(client, "i59")  # which nobody has met in training
    client.post("/feedback", json=event(user_id="crowd", item_id="i59"))
    assert eventually(lambda: "popular" in channels(client, "i59"))


def channels(client: TestClient, item: str) -> list[str]:
    items = client.post("/recommend", json={"n": 200}).json()["items"]
    found: list[str] = next(one["channels"] for one in items if one["item_id"] == item)
    return found


def test_with_the_state_away_nothing_is_accepted() -> None:
    store = FlakyStore()
    with serving(store) as client:
        store.away = True  # type: ignore[attr-defined] # set in its __init__
        answer = client.post("/feedback", json=event())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["type"] == "urn:polyrank:problem:state-away"
        store.away = False  # type: ignore[attr-defined] # set in its __init__
        assert client.post("/feedback", json=event()).status_code == 202


def test_what_became_of_events_is_counted(client: TestClient) -> None:
    text = client.get("/metrics").text
    for outcome in ("accepted", "duplicate", "rejected"):
        assert f'polyrank_events_total{{outcome="{outcome}"}}' in text
