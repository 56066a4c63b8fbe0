"""What is answered: ranked items with what each task says of them, who offered them, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from model.features.spec import Value


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item is in the list: its kind, a sentence to show, and the facts behind the sentence.

    kind is `because` (an item of the history, and the channel that links it), `attribute` (shared with that item),
    `channel` or `task`.
    """

    kind: str
    text: str
    facts: Mapping[str, Value]


class AnsweredItem(NamedTuple):
    """One item of an answer (a tuple, since every answer makes dozens).

    `task_scores` holds each task's calibrated probability, or value for regression and ordinal tasks; `position` counts
    from 0; `propensity` is the probability with which the policy shows this item there; `reasons` is None unless asked.
    """

    item_id: str
    score: float
    task_scores: Mapping[str, float]
    channels: tuple[str, ...]
    position: int
    propensity: float = 1.0
    reasons: tuple[Reason, ...] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request; `fallback` names the cheaper path that was taken, `degraded` says a part was away."""

    recommendation_id: str
    bundle: str
    items: tuple[AnsweredItem, ...]
    fallback: str | None
    degraded: bool
    took_ms: float
