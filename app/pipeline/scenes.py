"""`target: scene`: which shelves to show, by what each would show this user now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from app.pipeline.answer import Answer
from app.pipeline.ranked import Ranked
from app.pipeline.request import RecommendRequest
from app.pipeline.user import UserInput
from index.scenes import SceneRules

if TYPE_CHECKING:
    from app.pipeline.engine import Engine  # which itself asks which scenes suit

ITEMS = 10  # of a scene in an answer
LOOKED_AT = 5  # of them, the score is of


@dataclass(frozen=True, slots=True)
class AnsweredScene:
    """A scene with its list; `score` is the discounted mean of its best items' scores, what it lacks counting as 0."""

    scene: str
    score: float
    answer: Answer


def scene_requests(request: RecommendRequest, names: Sequence[str]) -> list[RecommendRequest]:
    """One request a scene, with everything else as it was asked for."""
    return [replace(request, scene=name, n=ITEMS) for name in names]


def suiting(scenes: Mapping[str, SceneRules], context: Mapping[str, str]) -> list[str]:
    """Names of the scenes that suit a context, in the recipe's order."""
    return [name for name, scene in scenes.items() if scene.suits(context)]


def best_scenes(names: Sequence[str], answers: Sequence[Answer], n: int) -> list[AnsweredScene]:
    """The n best scenes that show anything, best first, then in the recipe's order."""
    made = [
        AnsweredScene(name, scene_score([one.score for one in answer.items]), answer)
        for name, answer in zip(names, answers, strict=True)
        if answer.items
    ]
    return sorted(made, key=lambda one: -one.score)[:n]


def ranked_scenes(engine: "Engine", user: UserInput, request: RecommendRequest) -> Ranked:
    """`best_scenes` without HTTP, as a list whose items are scenes; a task's value is the mean of the best items."""
    names = engine.suiting_scenes(request)
    lists = engine.ranked([engine.read(user, one) for one in scene_requests(request, names)])
    scores = np.asarray([scene_score(one.scores.tolist()) for one in lists])
    shown = [place for place in np.argsort(-scores, kind="stable").tolist() if len(lists[place])][: request.n]
    values = [lists[place].values[:LOOKED_AT].mean(axis=0) for place in shown]
    return Ranked(
        item_ids=tuple(names[place] for place in shown),
        scores=scores[shown],
        values=np.stack(values) if shown else np.empty((0, len(engine.task_names)), np.float32),
        channels=tuple(() for _ in shown),
        reasons=None,
        fallback=next((lists[place].fallback for place in shown if lists[place].fallback), None),
        vector=None,
    )


def scene_score(scores: Sequence[float]) -> float:
    """Mean of the best scores with DCG's discounts (Järvelin and Kekäläinen 2002)."""
    discounts = 1 / np.log2(np.arange(LOOKED_AT) + 2)
    found = np.zeros(LOOKED_AT)
    found[: len(scores)] = scores[:LOOKED_AT]
    return float(found @ discounts / discounts.sum())
