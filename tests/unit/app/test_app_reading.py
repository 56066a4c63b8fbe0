"""Bodies, queries and addresses, below any server."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.problems import Problem
from app.routes.endpoint import Address, raw_path
from app.routes.reading import decoded, read_json_body, read_query
from app.settings import Settings

SIMILAR, EXPORT = Address.of("/items/{item_id}/similar"), Address.of("/users/{user_id}/export")
ITEM, USER = Address.of("/items/{item_id}"), Address.of("/users/{user_id}")
JSON = [(b"content-type", b"application/json")]


def body_of(messages: Sequence[dict[str, Any]], delay: float = 0.0, **limits: Any) -> bytes:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(delay if len(left) < len(messages) else 0)
        return left.pop(0)

    return asyncio.run(read_json_body({"headers": JSON}, receive, Settings.checked(limits)))


def part(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_put_together_from_its_parts() -> None:
    assert body_of([part(b"{}", more=False)]) == b"{}"
    assert body_of([part(b"{"), part(b""), part(b"}", more=False)]) == b"{}"


def test_a_body_that_grows_beyond_the_limit_is_not_read_to_its_end() -> None:
    for parts in ([part(b"x" * 2000, more=False)], [part(b"x" * 600), part(b"x" * 600), part(b"never read")]):
        with pytest.raises(Problem, match=r"body: found (2000|more) bytes; at most 1024 are read"):
            body_of(parts, max_body_bytes=1024)


def test_a_body_that_does_not_come_is_not_waited_for_for_ever() -> None:
    with pytest.raises(Problem, match="body: it did not arrive in time; send it again") as caught:
        body_of([part(b"{"), part(b"}")], delay=5, read_timeout_s=0.05)
    assert caught.value.status == 408


def test_a_connection_that_closes_within_a_body_is_malformed() -> None:
    with pytest.raises(Problem, match="the connection closed before its end"):
        body_of([part(b"{"), {"type": "http.disconnect"}])


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_any_query_comes_back_as_it_was_meant(query: dict[str, str]) -> None:
    from urllib.parse import urlencode

    try:
        raw = urlencode(query).encode()
    except UnicodeEncodeError:
        return
    assert read_query({"query_string": raw}) == query


@given(st.text())
def test_any_text_comes_back_from_its_escapes(text: str) -> None:
    from urllib.parse import quote

    try:
        raw = quote(text, safe="").encode()
    except UnicodeEncodeError:
        return
    assert decoded(raw, "x") == text


@pytest.mark.parametrize(
    ("path", "item", "similar"),
    [
        (b"/items/a", b"a", None),
        (b"/items/a/b", b"a/b", None),
        (b"/items/a/similar", None, b"a"),
        (b"/items/a/b/similar", None, b"a/b"),
        (b"/items/a%2Fsimilar", b"a%2Fsimilar", None),
        (b"/items/a%2fsimilar/similar", None, b"a%2fsimilar"),
        (b"/items/similar", b"similar", None),
        (b"/items//similar", b"/similar", None),
        (b"/items/a/similar/", b"a/similar/", None),
        (b"/items/a/export", b"a/export", None),
        (b"/items/", None, None),
        (b"/items", None, None),
        (b"/items:batch", None, None),
        (b"/users/a", None, None),
    ],
)
def test_a_path_is_one_address_or_none(path: bytes, item: bytes | None, similar: bytes | None) -> None:
    assert ITEM is not None
    assert SIMILAR is not None
    assert (ITEM.raw_id(path), SIMILAR.raw_id(path)) == (item, similar)


@given(st.text(alphabet="ab/%similarexpot2Ff", min_size=1, max_size=30))
def test_no_path_is_two_addresses(rest: str) -> None:
    for prefix, addresses in (("/items/", (ITEM, SIMILAR)), ("/users/", (USER, EXPORT))):
        found = [one.raw_id((prefix + rest).encode()) for one in addresses if one is not None]
        assert sum(one is not None for one in found) <= 1


def test_paths_below_a_mount_and_without_raw_bytes_are_read() -> None:
    assert raw_path({"raw_path": b"/api/items/a%2Fb", "root_path": "/api", "path": "/api/items/a/b"}) == b"/items/a%2Fb"
    assert raw_path({"path": "/items/\u00e9"}) == b"/items/%C3%A9"
    assert Address.of("/recommend") is None
