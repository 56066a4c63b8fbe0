"""Items whose text is closest in meaning to a free-text query."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.pipeline.channels.base import ChannelRequest
from index.view import View
from model.features.neighbours import Evidence

CHUNK = 8_192  # rows compared at a time, so that half-precision text vectors are widened a few at a time


@dataclass(frozen=True, slots=True)
class QueryChannel:
    """Cosine between the query's and the items' text vectors; items without text are not offered."""

    size: int = 200
    name: str = field(default="query", init=False)

    def offer(self, request: ChannelRequest) -> Evidence:
        """The closest allowed items; nothing without a query."""
        if request.query is None:
            return Evidence.empty()
        rows = request.allowed.rows()
        found = [_closest(request.allowed.view, part, request.query, self.size) for part in _parts(rows)]
        if not found:
            return Evidence.empty()
        return Evidence.best(
            np.concatenate([one.rows for one in found]), np.concatenate([one.scores for one in found]), self.size
        )


def _parts(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _closest(view: View, rows: NDArray[np.int64], query: NDArray[np.float32], k: int) -> Evidence:
    texts = view.texts(rows)
    told = np.any(texts, axis=1)
    return Evidence.best(rows[told], texts[told] @ query, k)
