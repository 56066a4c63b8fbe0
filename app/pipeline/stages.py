"""How long each stage of a request takes, told to whoever measures."""

from collections.abc import Callable
from time import perf_counter
from typing import TypeAlias, TypeVar

Observe: TypeAlias = Callable[[str, float], None]  # name of a stage, seconds
T = TypeVar("T")


def unobserved(stage: str, seconds: float) -> None:
    """Nobody measures."""


class Stages:
    """Runs the stages of requests and tells `observe` how long each took."""

    def __init__(self, observe: Observe = unobserved) -> None:
        self.observe = observe

    def run(self, stage: str, function: Callable[..., T], *arguments: object) -> T:
        """The function's result."""
        started = perf_counter()
        made = function(*arguments)
        self.observe(stage, perf_counter() - started)
        return made
