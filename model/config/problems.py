"""Pydantic's complaints as one RecipeError: file, key, value, next move."""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import get_args

from pydantic import BaseModel, ValidationError

from model.errors import RecipeError

TAGS = ("<name>", "<table>")  # of the event role, no keys


class Conflict(ValueError):  # noqa: N818 - it is part of a RecipeError, never shown by itself
    """Two keys that do not fit: the key at fault, the value found, the next move."""

    def __init__(self, key: str, found: object, move: str) -> None:
        self.key, self.found, self.move = key, found, move
        super().__init__(move)


@contextmanager
def explain(root: type[BaseModel], file: str) -> Iterator[None]:
    """Turn a ValidationError or ValueError raised inside into a RecipeError about `file`."""
    try:
        yield
    except ValidationError as error:
        key, found, next_move = first_problem(root, error)
        raise RecipeError(f"{file}: {key}", found, next_move) from None
    except Conflict as conflict:
        raise RecipeError(f"{file}: {conflict.key}", conflict.found, conflict.move) from None


def first_problem(root: type[BaseModel], error: ValidationError) -> tuple[str, object, str]:
    """Key, value and next move of the first problem of a ValidationError, and how many more there are."""
    problems = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, Conflict):
        return cause.key, cause.found, cause.move + more
    key = ".".join(str(part) for part in first["loc"] if part not in TAGS) or "the recipe"
    return key, first["input"], move(root, first) + more


def move(root: type[BaseModel], problem: Mapping[str, object]) -> str:
    """What to do about one problem."""
    loc = problem["loc"]
    assert isinstance(loc, tuple)
    if problem["type"] == "extra_forbidden":
        return _unknown(str(loc[-1]), known_keys(root, loc[:-1]))
    if problem["type"] == "missing":
        return f"add the key {loc[-1]}"
    return str(problem["msg"]).removeprefix("Value error, ")


def _unknown(key: str, known: list[str]) -> str:
    """Advice about a key that does not exist."""
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}known keys are {', '.join(known)}" if known else f"{hint}remove the key"


def known_keys(root: type[BaseModel], path: tuple[object, ...]) -> list[str]:
    """Keys of the table at `path` below a model; empty when the path leads to no single model."""
    here: list[type[BaseModel]] = [root]
    for part in path:
        fields = [model.model_fields[str(part)].annotation for model in here if str(part) in model.model_fields]
        if fields:
            here = [found for annotation in fields for found in _models(annotation)]
    return sorted({name for model in here for name in model.model_fields})


def _models(annotation: object) -> list[type[BaseModel]]:
    """Every model named in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
