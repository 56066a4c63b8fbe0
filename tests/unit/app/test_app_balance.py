"""Workers and their connections: who holds more than its share gives up the difference, and no more."""

import asyncio
from pathlib import Path

import pytest

from app.balance import AWAY, FILE, LOOK_S, Balance


def workers(folder: Path, *held: int) -> list[Balance]:
    Balance.create(folder / FILE, len(held))
    made = [Balance(folder / FILE, place, len(held)) for place in range(len(held))]
    for _ in range(3):  # at the second look each knows of the others, the third agrees with it
        for one, number in zip(made, held, strict=True):
            one.note(number)
    return made


@pytest.mark.parametrize(
    ("held", "spare"),
    [
        ((0, 0), (0, 0)),
        ((1, 0), (0, 0)),
        ((2, 0), (1, 0)),
        ((4, 0), (2, 0)),
        ((3, 2), (0, 0)),
        ((9, 2, 1), (5, 0, 0)),
        ((5, AWAY), (0, 0)),
        ((6, AWAY, 2), (2, 0, 0)),
    ],
)
def test_what_is_above_the_share_of_those_that_listen_is_shed_once(
    tmp_path: Path, held: tuple[int, ...], spare: tuple[int, ...]
) -> None:
    for one, number in zip(workers(tmp_path, *held), spare, strict=True):
        assert [one.sheds() for _ in range(12)] == [True] * number + [False] * (12 - number)


def test_what_is_above_the_share_for_one_look_alone_is_on_its_way(tmp_path: Path) -> None:
    first, _ = workers(tmp_path, 4, 4)
    first.note(5)
    assert not first.sheds()
    first.note(4)
    assert not first.sheds()


def test_who_has_closed_one_looks_twice_before_it_closes_more(tmp_path: Path) -> None:
    first, second = workers(tmp_path, 6, 2)
    assert [first.sheds(), first.sheds(), first.sheds()] == [True, True, False]
    first.note(4)  # the second has not told yet that it holds 4 now, so 1 seems too many
    assert not first.sheds()
    second.note(4)
    first.note(4)
    assert not first.sheds()


def test_a_worker_alone_has_no_balance(tmp_path: Path) -> None:
    Balance.create(tmp_path / FILE, 2)
    assert Balance.of(str(tmp_path), 0, 1) is None
    assert Balance.of(None, 0, 2) is None
    assert isinstance(Balance.of(str(tmp_path), 1, 2), Balance)


def test_one_that_ends_is_away(tmp_path: Path) -> None:
    first, second = workers(tmp_path, 4, 0)

    async def scenario() -> None:
        following = asyncio.create_task(second.follow(lambda: ()))
        await asyncio.sleep(LOOK_S / 2)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(scenario())
    first.note(4)
    assert not first.sheds()  # nobody else is there to take them
