"""Batches: who comes together is answered together, nobody waits long, and what fails for one fails for one alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from app.pipeline import batcher
from app.pipeline.batcher import Batcher

T = TypeVar("T")


class Answers:
    """Answers each number by its double and notes the batches; -1 cannot be answered, -2 breaks the whole batch."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.batches = seconds, list[list[int]]()

    async def __call__(self, asked: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(asked))
        await asyncio.sleep(self.seconds)
        if -2 in asked:
            raise RuntimeError("broken")
        return [ValueError(f"no double of {one}") if one == -1 else 2 * one for one in asked]


def run(
    scenario: Callable[[Batcher[int, int]], Awaitable[T]], answers: Answers, most: int = 4, wait_s: float = 0.02
) -> T:
    async def go() -> T:
        batcher = Batcher(answers, lambda: most, wait_s)
        try:
            return await scenario(batcher)
        finally:
            await batcher.close()

    return asyncio.run(go())


def test_who_comes_together_is_answered_together_and_in_order() -> None:
    answers = Answers()

    async def scenario(one: Batcher[int, int]) -> list[int]:
        return list(await asyncio.gather(*map(one.ask, range(10))))

    assert run(scenario, answers) == [2 * number for number in range(10)]
    assert answers.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_full_batch_does_not_wait_and_a_single_question_not_long() -> None:
    async def scenario(one: Batcher[int, int]) -> tuple[float, float]:
        started = time.perf_counter()
        await asyncio.gather(*map(one.ask, range(4)))
        full = time.perf_counter() - started
        await one.ask(7)
        return full, time.perf_counter() - started - full

    full, single = run(scenario, Answers(), wait_s=0.3)
    assert full < 0.2
    assert 0.3 <= single < 0.6


def test_the_next_batch_gathers_while_one_is_under_way_and_then_leaves_at_once() -> None:
    answers = Answers(0.2)

    async def scenario(one: Batcher[int, int]) -> float:
        first = asyncio.create_task(one.ask(1))
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(one.ask(number)) for number in (2, 3)]
        await first
        started = time.perf_counter()
        await asyncio.gather(*others)
        return time.perf_counter() - started

    took = run(scenario, answers, wait_s=0.05)
    assert answers.batches == [[1], [2, 3]]
    assert took < 0.24  # they had waited long enough: only the answer itself takes time


def test_a_question_without_an_answer_fails_alone() -> None:
    async def scenario(one: Batcher[int, int]) -> list[int | BaseException]:
        return list(await asyncio.gather(*map(one.ask, (1, -1, 3)), return_exceptions=True))

    first, failed, third = run(scenario, Answers())
    assert (first, third) == (2, 6)
    with pytest.raises(ValueError, match="no double of -1"):
        raise failed if isinstance(failed, BaseException) else AssertionError


def test_after_a_broken_batch_the_next_one_goes_on() -> None:
    async def scenario(one: Batcher[int, int]) -> list[int | BaseException]:
        asked = asyncio.gather(*map(one.ask, (1, -2)), return_exceptions=True)
        return [*await asked, await one.ask(5)]

    *failed, after = run(scenario, Answers())
    assert [str(one) for one in failed] == ["broken", "broken"]
    assert after == 10


def test_who_stops_waiting_is_taken_out() -> None:
    answers = Answers()

    async def scenario(one: Batcher[int, int]) -> int:
        gone = asyncio.create_task(one.ask(1))
        stays = asyncio.create_task(one.ask(2))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert run(scenario, answers) == 4
    assert answers.batches == [[2]]


def test_who_stops_waiting_under_way_harms_nobody() -> None:
    async def scenario(one: Batcher[int, int]) -> int:
        gone = asyncio.create_task(one.ask(1))
        stays = asyncio.create_task(one.ask(2))
        await asyncio.sleep(0.1)
        gone.cancel()
        return await stays

    assert run(scenario, Answers(0.15)) == 4


def test_when_all_have_gone_nothing_is_asked() -> None:
    answers = Answers()

    async def scenario(one: Batcher[int, int]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await one.ask(1)
        await asyncio.sleep(0.05)

    run(scenario, answers)
    assert answers.batches == []


def test_who_is_about_to_ask_is_waited_for_but_a_moment_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "MOMENT_S", 0.2)
    answers = Answers()

    async def after(one: Batcher[int, int], seconds: float, question: int) -> int:
        with one.expected():
            await asyncio.sleep(seconds)
        return await one.ask(question)

    async def scenario(one: Batcher[int, int]) -> None:
        assert list(await asyncio.gather(after(one, 0.0, 1), after(one, 0.02, 2))) == [2, 4]
        assert list(await asyncio.gather(after(one, 0.0, 3), after(one, 1.0, 4), one.ask(5))) == [6, 8, 10]

    run(scenario, answers, wait_s=0.0)
    assert [sorted(batch) for batch in answers.batches] == [[1, 2], [3, 5], [4]]


def test_a_full_batch_leaves_whoever_is_about_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "MOMENT_S", 5.0)
    answers = Answers()

    async def scenario(one: Batcher[int, int]) -> float:
        with one.expected():
            started = time.perf_counter()
            await asyncio.gather(*map(one.ask, range(4)))
            return time.perf_counter() - started

    assert run(scenario, answers, wait_s=0.0) < 2
    assert answers.batches == [[0, 1, 2, 3]]
