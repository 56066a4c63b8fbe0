"""The user vector and the stamp that says what it answers for, so that a cached one is never older than its history."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from app.pipeline.asked import Asked
from model.bundle import Bundle
from model.features.spec import UNKNOWN


@dataclass(frozen=True, slots=True)
class UserVector:
    """A user vector float32 [D] · its stamp · `keep`: it is new and the stored user's own, to be written back."""

    values: NDArray[np.float32]
    stamp: str
    keep: bool


def stamp_of(bundle: Bundle, asked: Asked) -> str:
    """All that a vector depends on besides the state's version of the user, as a short text.

    The history's length tells when an item that was unknown has joined the catalogue; the gap is the bucket of the time
    since the last event.
    """
    moment = asked.moment
    size = len(moment.history)
    gap = _gap_id(bundle.spec.gap_edges, moment.now - float(moment.history.times[-1])) if size else 0
    context = ".".join(map(str, moment.context.tolist()))
    return f"{bundle.version}|{size}|{gap}|{context}"


def _gap_id(edges: Sequence[float], gap: float) -> int:
    """FeatureSpec.gap_ids of one gap, without a dozen arrays."""
    return UNKNOWN if isnan(gap) else bisect_right(edges, gap) + 1


def cached_vector(bundle: Bundle, asked: Asked, stamp: str) -> NDArray[np.float32] | None:
    """The state's vector when it is of this very stamp and version, else None."""
    kept = asked.user.state.fresh_vector(stamp) if may_keep(asked) else None
    if kept is None or len(kept) != 4 * bundle.spec.dim:
        return None
    return np.frombuffer(kept, "<f4")


def may_keep(asked: Asked) -> bool:
    """Whether the vector is the stored user's own: no session told with the request, no history given by a batch."""
    user = asked.user
    return (
        user.kept
        and not asked.request.history
        and user.given is None
        and not user.away
        and asked.request.user_key is not None
    )
