"""Whatever is sent, the answer is a problem that names what is wrong; nothing gets a 500, and the service goes on."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.routes import OPERATIONS
from app.routes.endpoint import Operation
from tests.serving import serving

LIMIT = 64 << 10
JSON = {"Content-Type": "application/json"}
WITH_BODY = [one for one in OPERATIONS if one.reads_body]
WITH_ID = [one for one in OPERATIONS if "{" in one.path]
BIG = "x" * 10_000
GOOD: dict[str, dict[str, Any]] = {
    "recommend": {"user_id": "u1"},
    "feedback": {"type": "like", "user_id": "hostile", "item_id": "i1"},
    "put_item": {"text": {"title": "x"}},
    "patch_item": {"hidden": False},
    "put_user": {"profile": {"age": 3}},
    "patch_user": {"profile": {"age": 3}},
    "put_items": {"items": []},
    "put_users": {"users": []},
}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving(max_body_bytes=LIMIT) as found:
        yield found


def name_of(operation: Operation[Any]) -> str:
    return operation.handle.__name__


def path_of(operation: Operation[Any], some_id: str = "i1") -> str:
    before, brace, rest = operation.path.partition("{")
    return before + (some_id + rest.partition("}")[2] if brace else "")


def check_problem(answer: Any, *statuses: int) -> dict[str, Any]:
    """The answer is a whole problem with one of the statuses; it comes back as JSON."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail", "instance", "errors"}
    assert problem["status"] == answer.status_code
    assert problem["type"].startswith("urn:polyrank:problem:")
    assert len(answer.content) < 20_000
    for error in problem["errors"]:
        assert error.keys() == {"field", "value", "expected", "message"}
        assert error["expected"]
        assert error["message"]
        assert len(json.dumps(error["value"], ensure_ascii=False)) < 400
    return problem


def first(problem: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = problem["errors"][0]
    return error


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":}',
        b"\x00\x01\x02\xff\xfe",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 10_000,
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"1" + b"0" * 5000,
        b"{}{}",
        "{}".encode("utf-16"),
        b"'single'",
        b"NaN",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_json_is_malformed(client: TestClient, operation: Operation[Any], body: bytes) -> None:
    answer = client.request(operation.method, path_of(operation), content=body, headers=JSON)
    problem = check_problem(answer, 400, 413, 422)
    assert answer.status_code == 400 or len(body) > LIMIT or body == b"NaN"
    assert first(problem)["field"] in ("body", "")


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
@pytest.mark.parametrize("body", [b"null", b"7", b'"text"', b"true", b"1e999", b"[[]]", b"[null]"])
def test_json_of_another_shape_is_refused(client: TestClient, operation: Operation[Any], body: bytes) -> None:
    answer = client.request(operation.method, path_of(operation), content=body, headers=JSON)
    if body.startswith(b"[") and name_of(operation) in ("feedback", "put_items", "put_users"):
        assert [one["index"] for one in answer.json()["rejected"]] == [0]
    else:
        check_problem(answer, 400, 422)


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
def test_unknown_fields_are_refused_by_name(client: TestClient, operation: Operation[Any]) -> None:
    body = GOOD[name_of(operation)] | {"no_such_field": BIG}
    answer = client.request(operation.method, path_of(operation), json=body)
    problem = check_problem(answer, 422)
    if not name_of(operation).endswith("s"):
        assert first(problem)["field"] == "no_such_field"
        assert "only the fields" in first(problem)["expected"]


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": ""},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=lambda headers: ",".join(headers.values()) or "none",
)
def test_other_media_types_are_unsupported(
    client: TestClient, operation: Operation[Any], headers: dict[str, str]
) -> None:
    answer = client.request(operation.method, path_of(operation), content=b"{}", headers=headers)
    assert first(check_problem(answer, 415))["field"] in ("Content-Type", "Content-Encoding")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/vnd.a+json",
    ],
)
def test_json_by_any_of_its_names_is_read(client: TestClient, kind: str) -> None:
    assert client.post("/recommend", content=b"{}", headers={"Content-Type": kind}).status_code == 200


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_over_the_limit_are_too_large(client: TestClient, operation: Operation[Any], chunked: bool) -> None:
    body = b'{"a":"' + b"x" * 10_000_000 + b'"}'
    content = iter([body[start : start + 50_000] for start in range(0, len(body), 50_000)]) if chunked else body
    answer = client.request(operation.method, path_of(operation), content=content, headers=JSON)
    error = first(check_problem(answer, 413))
    assert (error["field"], error["expected"]) == ("body", f"at most {LIMIT} bytes")


@pytest.mark.parametrize("operation", WITH_ID, ids=name_of)
@pytest.mark.parametrize(
    ("some_id", "statuses", "expected"),
    [
        (BIG, (422, 404), "1 to 256 bytes"),
        ("%00", (422, 404), "without NUL"),
        ("a%00b", (422, 404), "without NUL"),
        ("%zz", (400,), "%XX"),
        ("%", (400,), "%XX"),
        ("%ff%fe", (400,), "UTF-8"),
        ("%C3%28", (400,), "UTF-8"),
        ("%ED%A0%80", (400,), "UTF-8"),
    ],
    ids=["10 kB", "NUL", "NUL inside", "escape", "bare %", "binary", "cut", "surrogate"],
)
def test_ids_that_cannot_be_are_refused(
    client: TestClient, operation: Operation[Any], some_id: str, statuses: tuple[int, ...], expected: str
) -> None:
    body = json.dumps(GOOD.get(name_of(operation), {})).encode() if operation.reads_body else None
    answer = client.request(operation.method, path_of(operation, some_id), content=body, headers=JSON if body else {})
    error = first(check_problem(answer, *statuses))
    assert error["field"] in ("item_id", "user_id", "version")
    assert expected in error["expected"]


@pytest.mark.parametrize(
    ("path", "body", "field", "value", "expected"),
    [
        ("/recommend", '{"n":0}', "n", 0, "an integer from 1 to 200"),
        ("/recommend", '{"n":1000000000}', "n", 1_000_000_000, "an integer from 1 to 200"),
        ("/recommend", '{"n":1%s}' % ("0" * 400), "n", None, "an integer from 1 to 200"),
        ("/recommend", '{"n":-9223372036854775809}', "n", None, "an integer from 1 to 200"),
        ("/recommend", '{"n":"5"}', "n", "5", "an integer from 1 to 200"),
        ("/recommend", '{"n":5.5}', "n", 5.5, "an integer from 1 to 200"),
        ("/recommend", '{"n":true}', "n", True, "an integer from 1 to 200"),
        ("/recommend", '{"n":NaN}', "n", "nan", "an integer from 1 to 200"),
        ("/recommend", '{"n":null}', "n", None, "an integer from 1 to 200"),
        ("/recommend", '{"user_id":""}', "user_id", "", "1 to 256 bytes"),
        ("/recommend", '{"user_id":7}', "user_id", 7, "a string of 1 to 256 bytes"),
        ("/recommend", json.dumps({"user_id": BIG}), "user_id", None, "1 to 256 bytes"),
        ("/recommend", '{"user_id":"a\\u0000b"}', "user_id", "a\x00b", "without NUL"),
        ("/recommend", '{"diversity":1.1}', "diversity", 1.1, "a number from 0 to 1"),
        ("/recommend", '{"diversity":NaN}', "diversity", "nan", "a number from 0 to 1"),
        ("/recommend", '{"diversity":-Infinity}', "diversity", "-inf", "a number from 0 to 1"),
        ("/recommend", '{"diversity":1e999}', "diversity", "inf", "a number from 0 to 1"),
        ("/recommend", '{"timeout_ms":0}', "timeout_ms", 0, "an integer from 1 to 60000"),
        ("/recommend", '{"target":"shop"}', "target", "shop", "one of 'item', 'user', 'scene'"),
        ("/recommend", '{"explain":1}', "explain", 1, "true or false"),
        ("/recommend", '{"task_weights":{"like":-1}}', "task_weights.like", -1, "a number from 0 to 1e+06"),
        ("/recommend", '{"task_weights":{"like":NaN}}', "task_weights.like", "nan", "a number from 0"),
        ("/recommend", '{"context":{"hour":[1]}}', "context.hour", "a list of 1", "a string of at most 1000"),
        ("/recommend", '{"context":{"hour":1e400}}', "context.hour", "inf", "a finite number"),
        ("/recommend", '{"context":{"":1}}', "context.", "", "a key of 1 to 256 bytes"),
        ("/recommend", '{"history":[{"item_id":"i1"}]}', "history.0.type", None, "a string of 1 to 256 bytes"),
        ("/recommend", '{"history":{}}', "history", "an object with 0 keys", "a list of at most 200"),
        ("/recommend", '{"exclude_items":[1]}', "exclude_items.0", 1, "a string of 1 to 256"),
        ("/recommend", '{"filter":{"include":{"genres":"x"}}}', "filter.include.genres", "x", "a list of at most 1000"),
        ("/recommend", '{"filter":{"only":{}}}', "filter.only", "an object with 0 keys", "include, exclude"),
        ("/recommend", json.dumps({"query": BIG}), "query", None, "a string of at most 1000 characters"),
        (
            "/recommend",
            '{"filter":{"include":{"release_year":[{"min":"x"}]}}}',
            "filter.include.release_year.0",
            None,
            "min",
        ),
        ("/feedback", '{"type":"like","user_id":"u","item_id":"i","value":Infinity}', "value", "inf", "a number from"),
        ("/feedback", '{"type":"like","user_id":"u","item_id":"i","timestamp":1e18}', "timestamp", 1e18, "from 1970"),
        ("/feedback", '{"type":"like","user_id":"u"}', "item_id", None, "a string of 1 to 256"),
    ],
)
def test_values_out_of_range_are_named_with_the_range(
    client: TestClient, path: str, body: str, field: str, value: object, expected: str
) -> None:
    error = first(check_problem(client.post(path, content=body.encode(), headers=JSON), 422))
    assert error["field"] == field
    assert expected in error["expected"]
    assert value is None or error["value"] == value


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("n=0", "n"),
        ("n=201", "n"),
        ("n=x", "n"),
        ("n=", "n"),
        ("n=1e2", "n"),
        ("m=3", "m"),
        ("n=5&x=1", "x"),
        ("n=nan", "n"),
    ],
)
def test_queries_are_checked_like_bodies(client: TestClient, query: str, field: str) -> None:
    for path in ("/items/i1/similar", "/users/u1/similar"):
        error = first(check_problem(client.get(f"{path}?{query}"), 422))
        assert error["field"] == field


@pytest.mark.parametrize("query", ["n=%zz", "n=%ff", "%ff=1", "x" * 5000])
def test_queries_that_are_no_text_are_malformed(client: TestClient, query: str) -> None:
    assert first(check_problem(client.get(f"/items/i1/similar?{query}"), 400))["field"] == "query"


def test_the_last_of_a_parameter_counts_and_its_escapes_are_read(client: TestClient) -> None:
    assert len(client.get("/items/i1/similar?n=7&n=%33&").json()["items"]) == 3


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/recommend/", "//recommend", "/items/", "/items", "/users/", "/%ff", "/docs"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "BREW"])
def test_what_is_not_there_is_not_found(client: TestClient, path: str, method: str) -> None:
    check_problem(client.request(method, path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/recommend", "POST"),
        ("DELETE", "/feedback", "POST"),
        ("POST", "/items/i1", "DELETE, GET, PATCH, PUT"),
        ("OPTIONS", "/users/u1", "DELETE, GET, PATCH, PUT"),
        ("PUT", "/items:batch", "POST"),
        ("POST", "/bundles", "GET"),
        ("DELETE", "/users/u1/export", "GET"),
    ],
)
def test_other_methods_are_told_which_there_are(client: TestClient, method: str, path: str, allow: str) -> None:
    answer = client.request(method, path)
    check_problem(answer, 405)
    assert answer.headers["allow"] == allow


def test_a_fault_of_our_own_is_told_without_its_inside(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = client.app.state.service.store  # type: ignore[attr-defined] # the ASGI app's state

    async def broken(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(store, "append", broken)
    answer = client.post("/feedback", json=GOOD["feedback"])
    assert check_problem(answer, 500)["errors"] == []
    assert "a secret" not in answer.text
    assert "a secret" in caplog.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def some_body(operation: Operation[Any]) -> st.SearchStrategy[Any]:
    known = sorted(operation.takes.model_fields)
    return st.dictionaries(st.sampled_from(known) | st.text(max_size=5), json_values, max_size=6)


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
def test_no_json_at_all_makes_the_service_stumble(client: TestClient, operation: Operation[Any]) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(some_body(operation), st.booleans())
    def check(body: dict[str, Any], merge: bool) -> None:
        sent = json.dumps(GOOD[name_of(operation)] | body if merge else body)
        answer = client.request(operation.method, path_of(operation), content=sent.encode(), headers=JSON)
        assert answer.status_code < 500, (sent, answer.text)

    check()


def test_no_path_at_all_makes_the_service_stumble(client: TestClient) -> None:
    @settings(max_examples=80, deadline=None)
    @given(
        st.text(alphabet="/%abA09.:~similrxpot\u00e9\u6f22 +", max_size=30),
        st.sampled_from(["items", "users", "bundles"]),
    )
    def check(path: str, start: str) -> None:
        send: Callable[..., Any] = client.request
        for method in ("GET", "PUT"):
            answer = send(method, f"/{start}/{path}".replace(" ", "%20"))
            assert answer.status_code < 500, (method, path, answer.text)

    check()
