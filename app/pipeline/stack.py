"""Requests of one graph laid on each other: alike ones as they are, or all of them padded to one shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.features.ranking import Inputs
from model.features.sessions import Session

STACK = 64  # requests in one run of a graph: beyond it nothing is gained, and memory grows
TIMES, MORE = 2, 100  # how long may be what another is padded to, TIMES · size + MORE: beyond it a run costs less
HISTORY = ("history_vectors", "history_types", "history_values", "history_gaps")  # padded in front, by events of type 0
CANDIDATES = ("candidate_vectors", "candidate_features")  # padded behind; candidates do not see each other


def stacked(session: Session, output: str, asked: Sequence[Inputs]) -> list[NDArray[np.float32]]:
    """The output of each request (without its batch axis), from runs over stacks of requests of the same shapes.

    Nothing is padded, so that each request reads what it would read alone.
    """
    found: dict[int, NDArray[np.float32]] = {}
    for places in _alike(asked):
        many = {name: np.concatenate([asked[place][name] for place in places]) for name in asked[places[0]]}
        (values,) = session.run([output], many)
        found.update(zip(places, values, strict=True))
    return [found[place] for place in range(len(asked))]


def together(session: Session, output: str, asked: Sequence[Inputs]) -> list[NDArray[np.float32]]:
    """The output of each request (without its batch axis) from one run over all, each padded to the longest.

    As graphs promise for padding: an event of type 0 in front is not read. What padded candidates are given is cut off.
    Requests of very different lengths have runs of their own.
    """
    found: dict[int, NDArray[np.float32]] = {}
    for places in near([_size(one) for one in asked]):
        some = [asked[place] for place in places]
        (values,) = session.run([output], padded(some))
        for place, one, value in zip(places, some, values, strict=True):
            found[place] = value[: one[CANDIDATES[0]].shape[1]] if CANDIDATES[0] in one else value
    return [found[place] for place in range(len(asked))]


def _size(one: Inputs) -> int:
    """How many candidates a request has, or events."""
    size: int = one[CANDIDATES[0] if CANDIDATES[0] in one else HISTORY[0]].shape[1]
    return size


def near(sizes: Sequence[int]) -> list[list[int]]:
    """Places of sizes, in groups of which none holds one that is much longer than another."""
    groups: list[list[int]] = []
    for place in sorted(range(len(sizes)), key=sizes.__getitem__):
        if groups and sizes[place] <= TIMES * sizes[groups[-1][0]] + MORE:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def padded(asked: Sequence[Inputs]) -> Inputs:
    """One input for all requests; the batch axis counts them."""
    if len(asked) == 1:
        return asked[0]
    return {name: _padded(name, [one[name] for one in asked]) for name in asked[0]}


def _padded(name: str, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    sizes = [array.shape[1] for array in arrays]
    if name not in HISTORY + CANDIDATES or len(set(sizes)) == 1:
        return np.concatenate(arrays)
    longest = max(sizes)
    made = np.zeros((len(arrays), longest, *arrays[0].shape[2:]), arrays[0].dtype)
    for place, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
        part = slice(longest - size, longest) if name in HISTORY else slice(0, size)
        made[place, part] = array[0]
    return made


def _alike(asked: Sequence[Inputs]) -> list[list[int]]:
    """Places of requests with equal shapes, at most STACK together."""
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for place, inputs in enumerate(asked):
        groups.setdefault(tuple(array.shape for array in inputs.values()), []).append(place)
    return [group[start : start + STACK] for group in groups.values() for start in range(0, len(group), STACK)]
