"""In which contexts a user turns to what: daytime, place or device of the events in a user's own history."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.events import History
from model.features.contexts import Contexts

PRIOR_USER = 10.0  # pseudo-events of a user who is met in any context as often as all are
PRIOR_OWN = 2.0  # pseudo-events of a user who turns to an item, or its like, where others do
MOST_SHARE = 0.9  # how much of an item's events may be expected in one context at most


def own_lifts(
    contexts: Contexts,
    history: History,
    attributes: NDArray[np.int32],
    asked: NDArray[np.int64],
    candidates: NDArray[np.int64],
    theirs: NDArray[np.int32],
    lifts: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """What a user's own events say for or against candidates in the context asked about, into `out` float32 [C, 2 · X].

    For each context column, of the newest events in a `history` whose items have `attributes` [L, A]: the log of how
    much more often this user turned there to the candidate than `lifts` [C, X] of all users lead to expect; and to what
    shares its attributes `theirs` [C, A], than the user does in general. 0 where the history or the request tells no
    context. asked int64 [X].
    """
    out[:] = 0.0
    if not len(candidates) or not len(history) or not history.contexts.shape[1] or not asked.any():
        return
    mine = np.searchsorted(order := np.unique(candidates), history.rows)
    met = order[np.minimum(mine, len(order) - 1)] == history.rows
    places, size = np.searchsorted(order, candidates), int(max(attributes.max(), theirs.max(initial=0))) + 1
    shared = np.maximum((theirs > 0).sum(axis=1), 1)
    for column, value in enumerate(asked.tolist()):
        usual = contexts.usual_share(column, value)
        if usual is None:
            continue
        told = history.contexts[:, column]
        known, here = told > 0, told == value
        share = (here.sum() + PRIOR_USER * usual) / (known.sum() + PRIOR_USER)
        expected = np.minimum(share * np.exp(lifts[:, column]), MOST_SHARE)
        of_items = [np.bincount(mine[met & some], minlength=len(order))[places] for some in (here, known)]
        out[:, 2 * column] = _lift(of_items, expected)
        said = _lift([np.bincount(attributes[some].ravel(), minlength=size) for some in (here, known)], share)
        said[0] = 0.0
        out[:, 2 * column + 1] = said[theirs].sum(axis=1) / shared


def _lift(counts: Sequence[NDArray[np.signedinteger]], expected: NDArray[np.float32] | float) -> NDArray[np.float64]:
    """Log of the smoothed share of events that happened here (counts: here, anywhere) over what was expected."""
    here, anywhere = counts
    made: NDArray[np.float64] = np.log((here + PRIOR_OWN * expected) / ((anywhere + PRIOR_OWN) * expected))
    return made
