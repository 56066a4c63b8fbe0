"""`target: user`: whom to befriend, over HTTP, from the bundle of the people."""

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.answers import RecommendAnswer
from app.state.store import user_key
from index.build import point_current, seal
from model.bundle import open_bundle
from tests.bundles import FOLLOW, make_bundle
from tests.serving import ONE, USERS, FlakyStore, eventually, serving


@cache
def linked() -> Path:
    """A folder with one sealed bundle whose users are linked; never write into it."""
    folder = Path(tempfile.mkdtemp(prefix="polyrank-people-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    seal(make_bundle(folder, users=USERS, version=ONE, people=True))
    point_current(folder / ONE)
    return folder


@pytest.fixture
def store() -> FlakyStore:
    return FlakyStore()


@pytest.fixture
def client(store: FlakyStore) -> Iterator[TestClient]:
    with serving(store, bundles=linked()) as found:
        yield found


def asked(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/recommend", json={"target": "user", **body})
    assert answer.status_code == 200, answer.text
    RecommendAnswer.model_validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


def names(answer: dict[str, Any]) -> list[str]:
    return [one["user_id"] for one in answer["users"]]


def test_people_are_answered_best_first_without_oneself_and_known_friends(client: TestClient) -> None:
    answer = asked(client, user_id="u1", n=50)
    bundle = open_bundle(linked() / ONE).people
    assert bundle is not None
    history = bundle.user_history(bundle.users.row("u1"))
    linked_to = {bundle.items.id(row) for row in history.rows[history.types < 3].tolist()}
    assert linked_to
    assert set(names(answer)) == set(bundle.items.names) - linked_to - {"u1"}
    assert "items" not in answer
    scores = [one["score"] for one in answer["users"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["bundle"] == ONE


def test_whom_somebody_follows_now_is_not_offered_to_them_again_but_changes_their_list(client: TestClient) -> None:
    before = asked(client, user_id="u3", n=50)
    friend = names(before)[0]
    told = client.post("/feedback", json={"type": FOLLOW, "user_id": "u3", "item_id": friend})
    assert told.status_code == 202
    after = asked(client, user_id="u3", n=50)
    assert friend not in names(after)
    kept = {one["user_id"]: one["score"] for one in after["users"]}
    assert any(kept[one["user_id"]] != one["score"] for one in before["users"] if one["user_id"] in kept)
    assert any(event["item_id"] == friend for event in client.get("/users/u3/export").json()["events"])


def test_a_friend_whose_id_is_that_of_an_item_does_not_hide_the_item(client: TestClient) -> None:
    client.post("/feedback", json={"type": FOLLOW, "user_id": "somebody", "item_id": "i2"})
    answer = client.post("/recommend", json={"user_id": "somebody", "n": 200}).json()
    assert "i2" in [one["item_id"] for one in answer["items"]]
    client.post("/feedback", json={"type": "view", "user_id": "somebody", "item_id": "i2"})
    answer = client.post("/recommend", json={"user_id": "somebody", "n": 200}).json()
    assert "i2" not in [one["item_id"] for one in answer["items"]]


def test_items_and_people_keep_their_own_vectors(client: TestClient, store: FlakyStore) -> None:
    """The state's vector is the item path's: what people are asked with neither reads nor replaces it."""
    body = {"user_id": "u2", "n": 5}
    first = client.post("/recommend", json=body).json()["items"]
    assert eventually(lambda: asyncio.run(store.read_user(user_key("u2"))).vector is not None)
    kept = asyncio.run(store.read_user(user_key("u2"))).vector
    whom = asked(client, **body)
    assert client.post("/recommend", json=body).json()["items"] == first
    assert asked(client, **body)["users"] == whom["users"]
    assert asyncio.run(store.read_user(user_key("u2"))).vector == kept


def test_who_was_erased_is_offered_to_nobody(client: TestClient) -> None:
    gone = names(asked(client, user_id="u5", n=1))[0]
    assert client.delete(f"/users/{gone}").status_code == 200
    assert gone not in names(asked(client, user_id="u5", n=50))
    assert names(asked(client, user_id=gone, n=50)) != []  # whoever asks under that name is new here


def test_somebody_new_is_answered_by_profile_and_session(client: TestClient) -> None:
    session = [{"item_id": "u7", "type": FOLLOW}, {"item_id": "i1", "type": "view"}]
    answer = asked(client, session_id="s", n=50, history=session)
    assert "u7" not in names(answer)
    assert len(names(answer)) == USERS - 1
    assert names(asked(client, n=3, filter={"include": {"genres": ["comedy"]}}))


def test_with_the_state_away_the_answer_is_a_degraded_one_once_the_erased_are_known(
    client: TestClient, store: FlakyStore
) -> None:
    gone = names(asked(client, user_id="u5", n=1))[0]
    client.delete(f"/users/{gone}")
    asked(client, user_id="u5")
    object.__setattr__(store, "away", True)
    answer = asked(client, user_id="u5", n=50)
    assert answer["degraded"]
    assert gone not in names(answer)
    assert names(answer)


def test_impressions_of_people_say_so(store: FlakyStore) -> None:
    with serving(store, bundles=linked()) as client:
        made = asked(client, user_id="u1", n=3)
    (entry,) = asyncio.run(store.claim("impressions", "test", 10))
    assert entry.record is not None
    assert list(entry.record.item_ids) == names(made)  # type: ignore[union-attr]
    assert entry.record.context["target"] == "user"


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"query": "x"}, "query", "no query"),
        ({"explain": True}, "explain", "tell of other users"),
        ({"task_weights": {"buy": 1}}, "task_weights", "interest"),
        ({"history": [{"item_id": "u1", "type": "buy"}]}, "history.type", FOLLOW),
    ],
)
def test_what_people_cannot_be_asked_by_is_refused(
    client: TestClient, body: dict[str, Any], field: str, expected: str
) -> None:
    answer = client.post("/recommend", json={"target": "user", **body})
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert error["field"].startswith(field)
    assert expected in error["expected"] or expected in error["message"]


def test_where_nobody_is_linked_people_are_not_recommended() -> None:
    with serving() as plain:
        answer = plain.post("/recommend", json={"target": "user"})
        assert answer.status_code == 422
        assert "links no users" in answer.json()["errors"][0]["message"]
        refused = plain.post("/feedback", json={"type": FOLLOW, "user_id": "a", "item_id": "b"})
        assert refused.status_code == 422
