"""Requests that came together: each gets its list, or the reason why there is none."""

from collections.abc import Sequence
from typing import TypeAlias

from app.pipeline.asked import Asked
from app.pipeline.engine import Engine
from app.pipeline.ranked import Ranked
from app.pipeline.request import RecommendRequest
from app.pipeline.user import UserInput

Person: TypeAlias = tuple[UserInput, RecommendRequest]


def recommend_many(engine: Engine, asked: Sequence[Person]) -> list[Ranked | Exception]:
    """What `engine.recommend` gives for each of some requests; where that raises, the exception stands in its place."""
    read = engine.stages.run("read", _read, engine, asked)
    ranked = iter(_ranked(engine, [one for one in read if isinstance(one, Asked)]))
    return [next(ranked) if isinstance(one, Asked) else one for one in read]


def _read(engine: Engine, asked: Sequence[Person]) -> list[Asked | Exception]:
    """Each request in rows, or why it cannot be read."""
    made: list[Asked | Exception] = []
    for one in asked:
        try:
            made.append(engine.read(*one))
        except Exception as error:
            made.append(error)
    return made


def _ranked(engine: Engine, asked: Sequence[Asked]) -> list[Ranked | Exception]:
    """Lists of all; when that fails, each alone, so that nobody is without a list for another's sake."""
    if not asked:
        return []
    try:
        return list(engine.ranked(asked))
    except Exception as error:
        if len(asked) == 1:
            return [error]
        return [found for one in asked for found in _ranked(engine, [one])]
