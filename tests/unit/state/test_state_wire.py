"""The lean connection: replies find their question, whatever is cancelled, lost, late or garbled meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import redis.exceptions

from app.state.wire import Endpoint, Wire
from tests.stores import clients, flush, url

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def endpoint() -> Endpoint:
    return Endpoint(url("valkey").removeprefix("unix://").partition("?")[0], "", 0)


@contextlib.asynccontextmanager
async def wire_to(place: Endpoint, timeout_s: float = 10) -> AsyncIterator[Wire]:
    wire = Wire(place, timeout_s)
    try:
        yield wire
    finally:
        await wire.close()


@contextlib.asynccontextmanager
async def server(path: Path, serve: Serve) -> AsyncIterator[Endpoint]:
    """A server that does what no Redis would."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()

    running = await asyncio.start_unix_server(once, path)
    try:
        yield Endpoint(str(path), "", 0)
    finally:
        running.close()
        await running.wait_closed()


def test_many_at_once_each_get_their_own_reply() -> None:
    async def scenario() -> None:
        async with wire_to(endpoint()) as wire:
            asked = [wire.ask([("ECHO", f"{number}"), ("ECHO", b"\x00" * number)]) for number in range(300)]
            for number, replies in enumerate(await asyncio.gather(*asked)):
                assert replies == [str(number).encode(), b"\x00" * number]

    asyncio.run(scenario())


def test_one_who_gave_up_does_not_shift_the_replies_of_others() -> None:
    async def scenario() -> None:
        async with wire_to(endpoint()) as wire:
            assert await wire.ask([("PING",)]) == [b"PONG"]
            tasks = [asyncio.create_task(wire.ask([("ECHO", str(number))])) for number in range(6)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert found[1::2] == [[b"1"], [b"3"], [b"5"]]
            assert all(isinstance(one, asyncio.CancelledError) for one in found[::2])
            assert await wire.ask([("ECHO", "last")]) == [b"last"]

    asyncio.run(scenario())


def test_errors_are_values_of_the_kind_that_redis_py_would_raise() -> None:
    async def scenario() -> None:
        async with wire_to(endpoint()) as wire:
            unknown, forgotten, fine = await wire.ask([("NOSUCH",), ("EVALSHA", "0" * 40, 0), ("PING",)])
            assert isinstance(unknown, redis.exceptions.ResponseError)
            assert isinstance(forgotten, redis.exceptions.NoScriptError)
            assert fine == b"PONG"

    asyncio.run(scenario())


def test_a_connection_that_the_server_closed_is_opened_again() -> None:
    async def scenario() -> None:
        async with wire_to(endpoint()) as wire:
            for _ in range(3):
                assert await wire.ask([("PING",)]) == [b"PONG"]
                await kill_clients()
            assert await wire.ask([("PING",)]) == [b"PONG"]

    asyncio.run(scenario())


async def kill_clients() -> None:
    (client,) = clients("valkey")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    client.close()


def test_a_database_and_a_login_are_kept_to() -> None:
    flush("valkey")
    place = endpoint()
    (client,) = clients("valkey")
    client.acl_setuser("walker", enabled=True, passwords=["+pw"], categories=["+@all"], keys="*")
    client.close()

    async def scenario() -> None:
        async with wire_to(Endpoint(place.path, "", 0, ("walker", "pw"))) as wire:
            assert await wire.ask([("ACL", "WHOAMI")]) == [b"walker"]
        for login, db in ((("walker", "no"), 0), ((), 9)):
            async with wire_to(Endpoint(place.path, "", 0, login, db)) as wire:
                with pytest.raises(redis.exceptions.ResponseError, match=r"WRONGPASS|out of range"):
                    await wire.ask([("PING",)])

    asyncio.run(scenario())


@pytest.mark.parametrize("place", [Endpoint("/nowhere/at-all.sock", "", 0), Endpoint(None, "127.0.0.1", 1)])
def test_nobody_there_is_a_connection_error(place: Endpoint) -> None:
    async def scenario() -> None:
        async with wire_to(place) as wire:
            with pytest.raises(redis.exceptions.ConnectionError, match="cannot connect"):
                await wire.ask([("PING",)])

    asyncio.run(scenario())


def test_silence_ends_in_a_timeout_for_all_who_wait(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    async def scenario() -> None:
        async with server(tmp_path / "s", silent) as place, wire_to(place, 0.1) as wire:
            asked = [asyncio.create_task(wire.ask([("PING",)])) for _ in range(3)]
            found = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(one, redis.exceptions.TimeoutError) for one in found)

    asyncio.run(scenario())


def test_a_slow_answer_within_its_time_is_no_timeout(tmp_path: Path) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            await asyncio.sleep(0.12)
            writer.write(b"+PONG\r\n")

    async def scenario() -> None:
        async with server(tmp_path / "s", slow) as place, wire_to(place, 0.2) as wire:
            for _ in range(4):  # together longer than the limit of each
                assert await wire.ask([("PING",)]) == [b"PONG"]
            await asyncio.sleep(0.3)
            assert await wire.ask([("PING",)]) == [b"PONG"]

    asyncio.run(scenario())


@pytest.mark.parametrize("answer", [b"", b"half a", b"?garbage\r\n"])
def test_a_server_that_hangs_up_or_talks_nonsense_is_a_connection_error(answer: bytes, tmp_path: Path) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)

    async def scenario() -> None:
        async with server(tmp_path / "s", rude) as place, wire_to(place) as wire:
            with pytest.raises(redis.exceptions.ConnectionError):
                await wire.ask([("PING",)])

    asyncio.run(scenario())


def test_closing_fails_who_still_waits_and_a_closed_wire_can_be_used_again() -> None:
    async def scenario() -> None:
        wire = Wire(endpoint(), 10)
        await wire.close()
        waiting = asyncio.create_task(wire.ask([("BLPOP", "nothing", 5)]))
        await asyncio.sleep(0.1)
        assert wire._link is not None
        wire._link.close(redis.exceptions.TimeoutError("gone"))
        with pytest.raises(redis.exceptions.TimeoutError, match="gone"):
            await waiting
        assert await wire.ask([("PING",)]) == [b"PONG"]
        await wire.close()

    asyncio.run(scenario())
