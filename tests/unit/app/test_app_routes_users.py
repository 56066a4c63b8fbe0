"""Users over HTTP: profiles, export, erasure, who is similar."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.serving import USERS, serving


@pytest.fixture
def client() -> Iterator[TestClient]:
    with serving() as found:
        yield found


def like(client: TestClient, user: str, item: str, event_id: str) -> None:
    told = {"type": "like", "user_id": user, "item_id": item, "event_id": event_id}
    assert client.post("/feedback", json=told).status_code == 202


def test_a_profile_is_put_read_merged(client: TestClient) -> None:
    assert client.put("/users/new", json={"profile": {"age": 30}}).status_code == 201
    assert client.put("/users/new", json={"profile": {"age": 31, "gender": "F"}}).status_code == 200
    assert client.get("/users/new").json() == {"user_id": "new", "profile": {"age": 31.0, "gender": "F"}}
    answer = client.patch("/users/new", json={"profile": {"age": None, "gender": "M"}})
    assert answer.json() == {"user_id": "new", "profile": {"gender": "M"}}
    assert client.get("/users/new").json()["profile"] == {"gender": "M"}


def test_a_user_of_the_bundle_is_known_and_can_be_changed(client: TestClient) -> None:
    assert client.get("/users/u2").json()["profile"] == {"gender": "F", "age": 20}
    assert client.patch("/users/u2", json={"profile": {"age": 44}}).json()["profile"] == {"gender": "F", "age": 44.0}
    assert client.get("/users/u2").json()["profile"] == {"gender": "F", "age": 44.0}
    assert client.put("/users/u3", json={}).status_code == 200
    assert client.get("/users/u3").json()["profile"] == {}


def test_unknown_users_are_not_there(client: TestClient) -> None:
    for method, path in (("GET", ""), ("PATCH", ""), ("GET", "/similar"), ("GET", "/export")):
        body: dict[str, object] | None = {"profile": {}} if method == "PATCH" else None
        answer = client.request(method, f"/users/nobody{path}", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["value"]) == (404, "nobody")


def test_a_user_known_only_by_feedback_is_known(client: TestClient) -> None:
    like(client, "fan", "i1", "f1")
    assert client.get("/users/fan").json() == {"user_id": "fan", "profile": {}}
    found = client.get("/users/fan/export").json()
    assert (found["profile"], [one["event_id"] for one in found["events"]]) == (None, ["f1"])
    assert client.patch("/users/fan", json={"profile": {"age": 20}}).json()["profile"] == {"age": 20.0}


def test_an_export_holds_profile_and_every_event(client: TestClient) -> None:
    client.put("/users/all", json={"profile": {"age": 30}})
    for number in range(5):
        like(client, "all", f"i{number}", f"a{number}")
    found = client.get("/users/all/export").json()
    assert found["profile"] == {"age": 30.0}
    assert [one["event_id"] for one in found["events"]] == [f"a{number}" for number in range(5)]
    assert client.get("/users/u1/export").json()["events"] == []


def test_erasing_a_user_leaves_a_receipt_and_nothing_else(client: TestClient) -> None:
    like(client, "u1", "i1", "x1")
    receipt = client.delete("/users/u1").json()
    assert receipt["user_id"] == "u1"
    assert receipt["state"]["events"] == 1
    assert receipt["bundle"]["masked_events"] > 0
    for path in ("/users/u1", "/users/u1/export", "/users/u1/similar"):
        assert client.get(path).status_code == 404
    answer = client.post("/recommend", json={"user_id": "u1", "n": 200}).json()
    assert (answer["fallback"], len(answer["items"])) == ("popular", 60)


def test_an_erased_user_is_nobodys_neighbour(client: TestClient) -> None:
    before = client.get("/users/u2/similar?n=200").json()["users"]
    assert {one["user_id"] for one in before} == {f"u{row}" for row in range(USERS)} - {"u2"}
    assert [one["score"] for one in before] == sorted((one["score"] for one in before), reverse=True)
    client.delete(f"/users/{before[0]['user_id']}")
    after = client.get("/users/u2/similar?n=200").json()["users"]
    assert [one["user_id"] for one in after] == [one["user_id"] for one in before[1:]]


def test_a_user_known_since_a_minute_has_neighbours(client: TestClient) -> None:
    like(client, "fan", "i1", "f1")
    assert len(client.get("/users/fan/similar?n=3").json()["users"]) == 3


def test_erasing_someone_unknown_is_no_error(client: TestClient) -> None:
    receipt = client.delete("/users/nobody").json()
    assert set(receipt["state"].values()) == {0}
    assert receipt["bundle"] == {"masked_events": 0}


def test_profiles_of_unknown_attributes_are_refused(client: TestClient) -> None:
    for method in ("PUT", "PATCH"):
        answer = client.request(method, "/users/u1", json={"profile": {"shoe size": 42}})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "profile.shoe size")
        assert "gender, age" in answer.json()["errors"][0]["expected"]


def test_a_batch_of_profiles(client: TestClient) -> None:
    users = [{"user_id": "b1", "profile": {"age": 3}}, {"user_id": "u4"}, {"user_id": "b2", "profile": {"x": 1}}]
    shape = client.post("/users:batch", json={"users": users}).json()
    assert (shape["created"], shape["updated"], [one["index"] for one in shape["rejected"]]) == (1, 1, [2])
    assert client.get("/users/b1").json()["profile"] == {"age": 3.0}


@pytest.mark.parametrize("user", ["a/b", "a%2Fexport", "%2Fexport", "export"])
def test_user_ids_may_hold_slashes(client: TestClient, user: str) -> None:
    assert client.put(f"/users/{user}", json={"profile": {"age": 9}}).status_code == 201
    assert client.get(f"/users/{user}").status_code == 200
    assert client.get(f"/users/{user}/export").json()["profile"] == {"age": 9.0}
