"""The real service with its real Valkey: what it accepted and what it was told survives anything."""

import signal
import socket
import time
from http.client import HTTPConnection
from pathlib import Path

from tests.processes import Served, alive, children, environment, polyrank, until
from tests.serving import KEYS, ONE, TWO, bundles, damage

NEW = {"text": {"title": "brand new comedy"}}


def seconds_until_known(served: Served, item: str) -> float:
    """From the PUT on until the item is recommended."""
    start = time.monotonic()
    assert served.send("PUT", f"/items/{item}", NEW)[0] == 201
    assert until(lambda: item in served.recommended(user_id="u1"))
    return time.monotonic() - start


def test_a_life_with_a_violent_end_in_the_middle(tmp_path: Path) -> None:
    folder = bundles(tmp_path)
    env = environment(folder, tmp_path / "state")
    with Served(env).ready() as served:
        before = served.recommended(session_id="s")
        accepted = [f"e{number}" for number in range(50)]
        for event_id in accepted:
            told = {"type": "like", "session_id": "s", "item_id": "i7", "event_id": event_id}
            status, answer = served.send("POST", "/feedback", told)
            assert (status, answer["durability"]) == (202, "aof-everysec")
        assert served.recommended(session_id="s") != before
        told = {"type": "like", "user_id": "ann", "item_id": "i8"}
        events = [{**told, "event_id": event_id} for event_id in accepted]
        assert served.send("POST", "/feedback", events)[1]["accepted"] == 50
        # The best of three: what is promised of the service is not promised of a busy test machine.
        assert min(seconds_until_known(served, item) for item in ("new-1", "new-2", "new")) < 1
        similar = served.get("/items/i0/similar?n=200")[1]["items"]
        assert "new" in [one["item_id"] for one in similar]
        assert served.send("DELETE", "/items/i3")[0] == 200
        assert served.send("PATCH", "/items/i4", {"hidden": True})[0] == 200
        served.kill()
    with Served(env).ready() as served:
        exported = served.get("/users/ann/export")[1]["events"]
        assert sorted(one["event_id"] for one in exported) == sorted(accepted)
        check_items(served)
        assert served.send("POST", f"/bundles/{TWO}/activate")[0] == 200
        check_items(served)
        assert served.stop() == 0
    with Served(env).ready() as served:
        assert served.get("/readyz")[1]["bundle"] == TWO
        check_items(served)


def check_items(served: Served) -> None:
    found = served.recommended(user_id="u1")
    assert "new" in found
    assert not {"i3", "i4"} & set(found)


def test_two_workers_share_everything_and_end_together(tmp_path: Path) -> None:
    folder = bundles(tmp_path)
    env = environment(folder, tmp_path / "state", api_keys=KEYS, log_level="warning")
    with Served(env, "--workers", "2", "--host", "0.0.0.0") as served:
        served.key = KEYS.split(",")[1].partition(":")[2]
        served.ready()
        assert until(lambda: served.get("/metrics")[1].count("polyrank_bundle_info{pid=") == 2)
        assert served.send("PUT", "/items/new", NEW)[0] == 201
        assert until(lambda: all("new" in served.recommended() for _ in range(12)))  # whichever worker answers
        assert served.send("POST", f"/bundles/{TWO}/activate")[0] == 200
        assert until(lambda: all(served.get("/readyz")[1]["bundle"] == TWO for _ in range(12)))
        started = children(served.process.pid)
        workers = [pid for pid in started if b"app.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2
        signal_and_wait(workers[0])
        assert until(lambda: len(children(served.process.pid)) == len(started)), "the worker was not started again"
        assert served.ready().stop() == 0
        assert not any(map(alive, started))


def test_kept_connections_end_up_evenly_on_the_workers(tmp_path: Path) -> None:
    env = environment(bundles(tmp_path), tmp_path / "state", log_level="warning")
    with Served(env, "--workers", "2") as served:
        served.ready()
        workers = [
            pid for pid in children(served.process.pid) if b"app.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        kept = [HTTPConnection("127.0.0.1", served.port) for _ in range(8)]

        def spread() -> list[int]:
            for one in kept:
                one.request("GET", "/healthz")
                assert one.getresponse().read() == b'{"status":"ok"}'
            return [connections_of(pid, served.port) for pid in workers]

        try:
            assert until(lambda: spread() == [4, 4]), spread()
            rest = [spread() for _ in range(40)]
            assert rest == [[4, 4]] * 40  # and there they stay
        finally:
            for one in kept:
                one.close()


def connections_of(pid: int, port: int) -> int:
    """How many connections to a port a process holds at its end of them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {f"socket:[{line[9]}]" for line in lines if line[3] == "01" and int(line[1].rpartition(":")[2], 16) == port}
    return sum(str(one.readlink()) in ours for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink())


def signal_and_wait(pid: int) -> None:
    import os

    os.kill(pid, signal.SIGKILL)
    assert until(lambda: not alive(pid))


def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    env = environment(bundles(tmp_path), tmp_path / "state")
    with Served(env, "--workers", "2").ready() as served:
        started = children(served.process.pid)
        served.process.kill()
        served.process.wait()
        workers = [pid for pid in started if alive(pid) and b"app.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert until(lambda: not any(map(alive, workers)))
    with Served(env).ready() as served:  # and what they left behind is no hindrance
        assert served.get("/healthz") == (200, {"status": "ok"})


def test_a_start_that_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = bundles(tmp_path)
    damage(folder / TWO / "ranker.onnx")
    env = environment(folder, tmp_path / "state", log_level="error")
    for arguments, message in (
        (["--host", "0.0.0.0"], "POLYRANK_HOST without POLYRANK_API_KEYS"),
        (["--bundle", str(folder / TWO)], "ranker.onnx"),
        (["--bundle", str(tmp_path)], "bundle"),
        (["--port", "70000"], "POLYRANK_PORT: found 70000"),
    ):
        done = polyrank(env, "serve", *arguments)
        lines = done.stderr.strip().splitlines()
        assert (done.returncode, len(lines)) == (2, 1), done.stderr
        assert message in lines[0]


def test_a_port_that_is_taken_is_refused_by_name(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = environment(bundles(tmp_path), tmp_path / "state", log_level="error", port=port)
        done = polyrank(env, "serve")
    assert done.returncode == 2
    assert f"address 127.0.0.1:{port}: found 'Address already in use'" in done.stderr


def test_a_bundle_given_by_path_becomes_the_active_one(tmp_path: Path) -> None:
    folder = bundles(tmp_path)
    env = environment(tmp_path / "nowhere", tmp_path / "state")
    with Served(env, "--bundle", str(folder / TWO)).ready() as served:
        assert served.get("/bundles")[1]["active"] == TWO
    env = environment(folder, tmp_path / "state")
    listed = polyrank(env, "bundles", "list").stdout.splitlines()
    assert [line[:2] + line.split()[-2] for line in listed] == [f"* {TWO}", f"  {ONE}"]


def test_what_is_no_http_gets_a_problem_too(tmp_path: Path) -> None:
    env = environment(bundles(tmp_path), tmp_path / "state")
    with Served(env).ready() as served:
        for sent in (
            b"hello\r\n\r\n",
            b"GET /items/\xff HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 100_000 + b"\r\n\r\n",
        ):
            answer = raw(served.port, sent)
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b"content-type: application/problem+json" in answer
            assert b"urn:polyrank:problem:malformed" in answer
        slow = (
            b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n"
        )
        assert raw(served.port, slow + b"{").startswith(b"HTTP/1.1 413 ")
        assert served.get("/healthz")[0] == 200


def raw(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        received = b""
        while b"\r\n\r\n" not in received or b"}" not in received:
            part = connection.recv(65536)
            if not part:
                break
            received += part
    return received


def test_a_state_that_never_answers_delays_neither_the_probes_nor_the_end(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        env = environment(bundles(tmp_path), tmp_path / "state", redis_url=url, state_timeout_ms=100, log_level="error")
        with Served(env) as served:
            assert until(lambda: served.get("/healthz")[0] == 200)
            status, answer = served.get("/readyz")
            assert (status, answer["status"], answer["state"]) == (503, "starting", "away")
            start = time.monotonic()
            assert served.stop() == 0
            assert time.monotonic() - start < 15
