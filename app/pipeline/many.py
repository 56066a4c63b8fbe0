"""Many requests stage by stage: one run of each graph and one search for all of them, the rest one after another."""

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.pipeline.asked import Asked
from app.pipeline.engine import Engine
from app.pipeline.ranked import Ranked
from app.pipeline.request import RecommendRequest
from app.pipeline.stack import together
from app.pipeline.user import UserInput
from app.pipeline.vector import UserVector, may_keep, stamp_of
from index.view import View
from model.features.neighbours import Evidence
from model.features.ranking import user_tower_inputs

S = TypeVar("S")
T = TypeVar("T")
Person: TypeAlias = tuple[UserInput, RecommendRequest]


def recommend_many(engine: Engine, asked: Sequence[Person]) -> list[Ranked | Exception]:
    """What `engine.recommend` gives for each of some requests; where that raises, the exception stands in its place.

    Networks and index see all of them at once, so on a card the batch costs hardly more than its longest request.
    """
    read = _each(asked, lambda one: engine.read(*one))
    vectors = _user_vectors(engine, _good(read))
    near = _near(engine, _good(read), vectors)
    begun = iter(zip(vectors, near, strict=True))
    prepared = _each(read, lambda one: engine.prepare(one, *next(begun)))
    values = iter(engine.networks.values_of([one.inputs for one in _good(prepared)]))
    return _each(prepared, lambda one: engine.finish(one, next(values)))


def _each(asked: Sequence[S | Exception], step: Callable[[S], T]) -> list[T | Exception]:
    """The step's results; what failed before stays as it is, what fails now fails alone."""
    made: list[T | Exception] = []
    for one in asked:
        if isinstance(one, Exception):
            made.append(one)
            continue
        try:
            made.append(step(one))
        except Exception as error:
            made.append(error)
    return made


def _good(made: Sequence[T | Exception]) -> list[T]:
    return [one for one in made if not isinstance(one, Exception)]


def _user_vectors(engine: Engine, asked: Sequence[Asked]) -> list[UserVector]:
    """Each user's vector: the cached one where it holds, the others from one run."""
    spec, stamps = engine.bundle.spec, [stamp_of(engine.bundle, one) for one in asked]
    known = [engine.known_vector(one, stamp) for one, stamp in zip(asked, stamps, strict=True)]
    new = [one for one, vector in zip(asked, known, strict=True) if vector is None]
    inputs = [user_tower_inputs(spec, one.moment, one.view) for one in new]
    made = iter(together(engine.networks.tower, "user_vector", inputs))
    return [
        UserVector(next(made), stamp, may_keep(one)) if vector is None else UserVector(vector, stamp, keep=False)
        for one, stamp, vector in zip(asked, stamps, known, strict=True)
    ]


def _near(engine: Engine, asked: Sequence[Asked], vectors: Sequence[UserVector]) -> list[Evidence | None]:
    """Each user's nearest rows from one search; None for those with a filter, whose own search follows."""
    found: list[Evidence | None] = [None] * len(asked)
    for view, places in _unfiltered(asked):
        queries: NDArray[np.float32] = np.stack([vectors[place].values for place in places])
        lists = view.search_many(queries, engine.nearest, [asked[place].allowed.excluded for place in places])
        for place, near in zip(places, lists, strict=True):
            found[place] = near
    return found


def _unfiltered(asked: Sequence[Asked]) -> list[tuple[View, list[int]]]:
    """Places of requests without a filter by the view they read: mostly there is one for all."""
    groups: dict[int, tuple[View, list[int]]] = {}
    for place, one in enumerate(asked):
        if one.allowed.mask is None:
            groups.setdefault(id(one.view), (one.view, []))[1].append(place)
    return list(groups.values())
