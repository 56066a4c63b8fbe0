"""The cheap path: popular items by context in their own order, without state and without networks."""

import numpy as np

from app.pipeline.asked import Asked
from app.pipeline.ranked import Ranked
from model.features.neighbours import Evidence

POPULAR = "popular"  # the one declared fallback


def popular_answer(asked: Asked, offered: Evidence) -> Ranked:
    """The first n of the popular channel's list, then any other allowed rows: full whenever the catalogue allows.

    The score is the list's own, brought to (0, 1); no task has been asked.
    """
    found = _filled(asked, offered)
    scores = 0.5 + 0.5 * np.tanh(found.scores.astype(np.float64) / 2)
    return Ranked(
        item_ids=tuple(asked.view.id(row) for row in found.rows.tolist()),
        scores=scores,
        values=np.empty((len(found), 0), np.float32),
        channels=((POPULAR,),) * len(found),
        reasons=((),) * len(found) if asked.request.explain else None,
        fallback=POPULAR,
        vector=None,
    )


def _filled(asked: Asked, offered: Evidence) -> Evidence:
    n = asked.request.n
    if len(offered) >= n:
        return offered.top(n)
    rows = asked.allowed.rows()
    rest = rows[~np.isin(rows, offered.rows)][: n - len(offered)]
    least = offered.scores.min(initial=0.0)
    return Evidence(
        np.concatenate([offered.rows, rest]),
        np.concatenate([offered.scores, np.full(len(rest), least, np.float32)]),
    )
