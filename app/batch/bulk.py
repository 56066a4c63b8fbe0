"""Many moments through the networks at once: features of single requests, graphs run on stacks of equal shape."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.pipeline.allowed import Allowed
from app.pipeline.channels import ChannelRequest
from app.pipeline.engine import Engine
from app.pipeline.stack import stacked
from model.features.counters import ItemCounters
from model.features.ranking import Inputs, Moment, ranker_inputs, user_tower_inputs


@dataclass(frozen=True, slots=True)
class Question:
    """A user at a moment, and catalogue rows int64 [C] to be judged."""

    moment: Moment
    rows: NDArray[np.int64]


class Bulk:
    """Answers questions in order of time with one engine's channels and networks."""

    def __init__(self, engine: Engine, counters: ItemCounters) -> None:
        self._engine, self._counters, self._view = engine, counters, engine.catalogue.view
        self._spec = engine.bundle.spec

    def answers(self, questions: Sequence[Question], until: Callable[[float], None]) -> list[NDArray[np.float32]]:
        """Calibrated outputs [C, T] of each question; `until` moves the counters on to a question's moment."""
        networks = self._engine.networks
        asked = [user_tower_inputs(self._spec, one.moment, self._view) for one in questions]
        vectors = stacked(networks.tower, "user_vector", asked)
        inputs = []
        for one, vector in zip(questions, vectors, strict=True):
            until(one.moment.now)
            inputs.append(self.inputs(one, vector))
        return [networks.calibrated(logits) for logits in stacked(networks.ranker, "logits", inputs)]

    def inputs(self, one: Question, vector: NDArray[np.float32]) -> Inputs:
        """What the ranker reads of one question (user vector float32 [D]), by the counters as they stand."""
        allowed = Allowed(self._view, None, np.unique(one.moment.history.rows))
        (evidence,) = self._engine.evidence([ChannelRequest(one.moment, vector, allowed, {})])
        tables = self._engine.tables
        return ranker_inputs(self._spec, one.moment, vector, one.rows, evidence, self._view, self._counters, tables)
