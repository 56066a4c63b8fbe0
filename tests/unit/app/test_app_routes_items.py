"""Items at run time over HTTP: put, read, merge, delete, many at once, similar."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.serving import ids, serving

NEW = {"text": {"title": "brand new comedy"}, "attributes": {"genres": ["comedy"], "release_year": 1999}}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving() as found:
        yield found


def test_a_new_item_is_created_then_replaced(client: TestClient) -> None:
    answer = client.put("/items/new-1", json=NEW)
    assert (answer.status_code, answer.json()) == (201, {"item_id": "new-1", **NEW, "hidden": False})
    answer = client.put("/items/new-1", json={"text": {"title": "other"}})
    assert (answer.status_code, answer.json()["attributes"]) == (200, {})
    assert client.get("/items/new-1").json() == answer.json()


def test_an_item_of_the_bundle_is_known_by_its_record_and_can_be_replaced(client: TestClient) -> None:
    assert client.get("/items/i0").json()["text"]["title"].endswith("comedy")
    assert client.put("/items/i0", json={"text": {"title": "changed"}}).status_code == 200
    assert client.get("/items/i0").json() == {
        "item_id": "i0",
        "text": {"title": "changed"},
        "attributes": {},
        "hidden": False,
    }


def test_a_patch_merges_and_null_removes(client: TestClient) -> None:
    client.put("/items/p", json=NEW)
    answer = client.patch("/items/p", json={"attributes": {"release_year": None}, "text": {"title": "later"}})
    assert answer.status_code == 200
    assert answer.json() == {
        "item_id": "p",
        "text": {"title": "later"},
        "attributes": {"genres": ["comedy"]},
        "hidden": False,
    }
    assert client.patch("/items/i2", json={"hidden": True}).json()["attributes"]["release_year"] == 1977
    assert client.patch("/items/nowhere", json={"hidden": True}).status_code == 404


def test_a_new_item_of_text_alone_can_be_found_at_once(client: TestClient) -> None:
    client.put("/items/fresh", json={"text": {"title": "wild storm comedy"}})
    asked = {"user_id": "u1", "n": 200}
    assert "fresh" in ids(client.post("/recommend", json=asked))
    assert "fresh" in ids(client.get("/items/i5/similar?n=200"))
    assert len(ids(client.get("/items/fresh/similar?n=3"))) == 3
    assert "fresh" not in ids(client.get("/items/fresh/similar?n=200"))


def test_hidden_and_deleted_items_are_never_answered(client: TestClient) -> None:
    for item in ("i10", "i11"):
        assert item in ids(client.post("/recommend", json={"n": 200}))
    client.patch("/items/i10", json={"hidden": True})
    assert client.delete("/items/i11").json() == {"item_id": "i11", "deleted": True}
    for user in (None, "u1"):
        found = ids(client.post("/recommend", json={"user_id": user, "n": 200, "exclude_seen": False}))
        assert not {"i10", "i11"} & set(found)
    assert not {"i10", "i11"} & set(ids(client.get("/items/i0/similar?n=200")))
    assert client.get("/items/i10").json()["hidden"] is True
    assert [client.request(how, "/items/i11").status_code for how in ("GET", "DELETE")] == [404, 404]
    assert client.get("/items/i11/similar").status_code == 404


def test_a_deleted_item_can_be_put_again(client: TestClient) -> None:
    client.delete("/items/i12")
    assert client.put("/items/i12", json=NEW).status_code == 201
    assert "i12" in ids(client.post("/recommend", json={"n": 200}))


def test_a_batch_takes_what_is_good_and_names_the_rest(client: TestClient) -> None:
    items = [
        {"item_id": "b1", "text": {"title": "one"}},
        {"item_id": "i20", "hidden": True},
        {"item_id": ""},
        {"item_id": "b2", "attributes": {"colour": "red"}},
        {"item_id": "b3", "attributes": {"release_year": "old"}},
        7,
    ]
    answer = client.post("/items:batch", json={"items": items})
    shape = answer.json()
    assert (answer.status_code, shape["created"], shape["updated"]) == (200, 1, 1)
    assert [one["index"] for one in shape["rejected"]] == [2, 3, 4, 5]
    assert "genres, release_year" in shape["rejected"][1]["error"]
    assert "numeric" in shape["rejected"][2]["error"]
    assert client.get("/items/b1").status_code == 200
    assert client.post("/items:batch", json=[{"item_id": "b1"}]).json()["updated"] == 1


def test_a_batch_of_many_is_all_there(client: TestClient) -> None:
    items = [{"item_id": f"many{number}", "text": {"title": f"many {number}"}} for number in range(70)]
    assert client.post("/items:batch", json=[*items, items[0]]).json()["created"] == 70
    assert client.get("/items/many69").status_code == 200


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"text": {"subtitle": "x"}}, "text.subtitle", "title"),
        ({"attributes": {"colour": "red"}}, "attributes.colour", "genres, release_year"),
        ({"attributes": {"release_year": "old"}}, "attributes.release_year", "numeric"),
        ({"attributes": {"release_year": True}}, "attributes.release_year", "numeric"),
    ],
)
def test_what_the_recipe_does_not_have_is_refused_by_name(
    client: TestClient, body: dict[str, object], field: str, expected: str
) -> None:
    for answer in (client.put("/items/x", json=body), client.patch("/items/i30", json=body)):
        error = answer.json()["errors"][0]
        assert (answer.status_code, error["field"]) == (422, field)
        assert expected in error["expected"]


@pytest.mark.parametrize(
    "item", ["a/b", "a/similar", "/similar", "similar", "ключ/è 漢字", "a?b#c", "a+b %2F", ".", "x" * 256]
)
def test_any_id_can_be_addressed(client: TestClient, item: str) -> None:
    path = f"/items/{quoted(item)}"
    assert client.put(path, json={"text": {"title": "odd"}}).status_code == 201
    assert client.get(path).json()["item_id"] == item
    assert len(ids(client.get(f"{path}/similar?n=2"))) == 2
    assert client.delete(path).json()["item_id"] == item


def test_slashes_may_be_written_raw_unless_a_suffix_follows(client: TestClient) -> None:
    client.put("/items/raw/id", json={"text": {"title": "raw"}})
    client.put("/items/raw%2Fsimilar", json={"text": {"title": "encoded"}})
    assert client.get("/items/raw/id").json()["item_id"] == "raw/id"
    assert len(ids(client.get("/items/raw/id/similar?n=1"))) == 1
    assert client.get("/items/raw/similar").status_code == 404  # what is similar to `raw`, which is not there
    answer = client.put("/items/raw/similar", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def quoted(item: str) -> str:
    from urllib.parse import quote

    return quote(item, safe="").replace(".", "%2E")
