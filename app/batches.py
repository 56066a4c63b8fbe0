"""Lists of which each element stands alone: the good ones are taken, the bad ones named by their index."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from app.expected import sentence_of
from app.problems import Problem, invalid_field, malformed
from model.errors import RequestError

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
Rejected = list[dict[str, Any]]


def elements(body: bytes, name: str, limit: int) -> list[object]:
    """The list that is the body, or stands in it under `name`; raises Problem 400 and 422."""
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise malformed(f"body: found no valid JSON ({error}); send one JSON text in UTF-8") from None
    if isinstance(found, dict) and found.keys() == {name}:
        found = found[name]
    if not isinstance(found, list):
        raise invalid_field("body", found, f'a list, or {{"{name}": a list}}')
    if len(found) > limit:
        raise invalid_field(name, found, f"a list of at most {limit} elements")
    return found


def each(found: Sequence[object], model: type[M], make: Callable[[M], T]) -> tuple[list[T], Rejected]:
    """What `make` makes of every element that is a `model`; and for the others an index and a sentence."""
    made: list[T] = []
    rejected: Rejected = []
    for index, element in enumerate(found):
        try:
            made.append(make(model.model_validate(element)))
        except ValidationError as error:
            rejected.append({"index": index, "error": sentence_of(error, model)})
        except (Problem, RequestError) as error:
            rejected.append({"index": index, "error": str(error)})
    return made, rejected
