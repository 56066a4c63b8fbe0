"""The demo fails loudly: its client and its checks, against a small server that answers what a test tells it to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy import demo
from deploy.client import Client, DemoError, Json, expect, table

Answers = dict[str, tuple[int, Json]]


@contextmanager
def answering(answers: Answers) -> Iterator[Client]:
    """A client of a server that has one answer for each path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answers.get(self.path, (404, {"detail": f"no {self.path}"}))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield Client("127.0.0.1", server.server_port)
        server.shutdown()


def item(name: str, score: float) -> Json:
    return {"item_id": name, "score": score, "task_scores": {"like": score}, "channels": ["tower", "popular"]}


def answer(*names: str, degraded: bool = False) -> Json:
    items = [item(name, 1 / (place + 2)) for place, name in enumerate(names)]
    return {"items": items, "degraded": degraded, "took_ms": 1.0, "bundle": "b", "fallback": None}


def test_an_error_answer_ends_the_demo_with_its_own_words() -> None:
    with answering({"/a": (503, {"detail": "the store is away"})}) as client:
        with pytest.raises(DemoError, match=r"GET /a: status 503.*the store is away"):
            client.get("/a")
        assert not client.is_up("/a")


def test_a_status_may_be_allowed() -> None:
    with answering({}) as client:
        assert client.send("DELETE", "/items/x", allow=(404,)) == {"detail": "no /items/x"}


def test_no_service_is_no_answer() -> None:
    client = Client("127.0.0.1", demo.free_port(0))
    with pytest.raises(DemoError, match=r"GET /healthz: no answer"):
        client.get("/healthz")
    assert not client.is_up("/readyz")


def test_a_list_is_printed_with_titles_scores_tasks_and_channels(capsys: pytest.CaptureFixture[str]) -> None:
    titles: Answers = {f"/items/{name}": (200, {"text": {"title": f"Film {name}"}}) for name in "ab"}
    with answering({"/recommend": (200, answer("a", "b")), **titles}) as client:
        assert demo.shown(client, {}, n=2) == ["a", "b"]
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["title", "score", "like", "channels"]
    assert out[1].split() == ["Film", "a", "0.500", "0.500", "tower", "popular"]


@pytest.mark.parametrize("bad", [answer("a"), answer("a", "b", degraded=True)], ids=["short", "degraded"])
def test_a_short_or_degraded_list_ends_the_demo(bad: Json) -> None:
    with (
        answering({"/recommend": (200, bad)}) as client,
        pytest.raises(DemoError, match="asked for 2 items"),
    ):
        demo.shown(client, {}, n=2)


def test_a_new_item_must_turn_up_in_time() -> None:
    assert demo.appears(lambda: [{"item_id": "x"}, {"item_id": "new"}], "new", time.monotonic()) == 1
    with pytest.raises(DemoError, match="did not turn up within 1 s"):
        demo.appears(lambda: [{"item_id": "x"}], "new", time.monotonic() - 2)
    with pytest.raises(DemoError, match="the new item took"):
        demo.appears(lambda: [{"item_id": "new"}], "new", time.monotonic() - 2)


def test_an_event_that_changes_nothing_ends_the_demo() -> None:
    told: Answers = {
        "/recommend": (200, answer(*"abcdefgh")),
        "/feedback": (202, {"accepted": 1, "duplicates": 0, "rejected": [], "durability": "aof-always"}),
        **{f"/items/{name}": (200, {"text": {}}) for name in [*"abcdefgh", demo.STAR_WARS]},
    }
    with answering(told) as client, pytest.raises(DemoError, match="sent the same event twice"):
        demo.feedback(client, "guest", list("abcdefgh"))


def test_the_visitor_has_a_name_that_nobody_had() -> None:
    with answering({}) as client:
        with demo.visitor(client) as one:
            pass
        with demo.visitor(client) as other:
            assert one != other


def test_a_deleted_item_that_is_still_answered_ends_the_demo() -> None:
    told: Answers = {
        "/items/guest": (200, {"deleted": True}),
        "/users/guest": (200, {"erased": {"events": 1}}),
        "/recommend": (200, answer("a", "guest")),
    }
    with answering(told) as client, pytest.raises(DemoError, match="the deleted film was recommended"):
        demo.gone(client, "guest")
    told["/recommend"] = (200, answer("a"))
    with answering(told) as client:
        demo.gone(client, "guest")
    told["/users/guest/export"] = (200, {"events": []})
    with answering(told) as client, pytest.raises(DemoError, match="still has an export"):
        demo.gone(client, "guest")


def test_a_bundle_is_kept_only_for_the_very_same_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    before = demo.fingerprint([tmp_path])
    assert demo.fingerprint([tmp_path]) == before
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("2")
    assert demo.fingerprint([tmp_path]) == before
    (tmp_path / "a.csv").write_text("2")
    assert demo.fingerprint([tmp_path]) != before


def test_a_busy_port_is_left_alone() -> None:
    with answering({}) as client:
        busy = int(client.address.rpartition(":")[2])
        assert demo.free_port(busy) != busy


def test_a_failing_command_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "POLYRANK", "false")
    with pytest.raises(DemoError, match="polyrank train ended with status 1"):
        demo.command("train", "x")


def test_long_texts_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table(["a", "b"], [["x" * 90, 0.5]])
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) < 60
    with pytest.raises(DemoError, match="words"):
        expect(False, "words")
