"""In which contexts a user turns to what: daytime, place or device of the events in a user's own history."""

import numpy as np
from numpy.typing import NDArray

from model.events import History
from model.features import kernels
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

    For each context column: how much more often this user turned there to the candidate than `lifts` [C, X] of all
    users lead to expect, and to what shares its attributes `theirs` [C, A] than the user does in general
    (kernels.own_lifts). 0 where the history or the request tells no context. attributes [K, A] are those of the newest
    events' items · asked int64 [X].
    """
    told = history.contexts
    usual = contexts.usual_shares(asked) if told.shape[1] else np.zeros(len(asked), np.float32)
    if not len(history) or not usual.any():
        out[:] = 0.0
        return
    priors = PRIOR_USER, PRIOR_OWN, MOST_SHARE
    told = np.ascontiguousarray(told, np.int64)
    kernels.own_lifts(history.rows, told, attributes, asked, usual, candidates, theirs, lifts, priors, out)
