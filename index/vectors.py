"""The catalogue and the users of a bundle through its towers, for the index to hold."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from model.bundle import Bundle
from model.features.ranking import ArrayItems, Inputs, Moment, user_tower_inputs

ROWS_A_RUN = 1024
USERS_A_RUN = 256


def item_vectors(bundle: Bundle, threads: int = 1) -> NDArray[np.float32]:
    """Every item through item_tower.onnx, float32 [N, D]."""
    size, session = len(bundle.items), bundle.session("item_tower", threads)
    vectors = np.zeros((size, bundle.spec.dim), np.float32)
    for start in range(0, size, ROWS_A_RUN):
        part = slice(start, min(start + ROWS_A_RUN, size))
        (vectors[part],) = session.run(["item_vector"], item_inputs(bundle, part))
    return vectors


def item_inputs(bundle: Bundle, part: slice) -> Inputs:
    """Inputs of item_tower.onnx for a slice of the catalogue."""
    read = {
        name: bundle.array(f"item_features/{name}.npy")[part] for name in ("id_index", "text", "attributes", "graph")
    }
    return {
        "item_id": read["id_index"].astype(np.int64),
        "text": read["text"].astype(np.float32),
        "attributes": read["attributes"].astype(np.int64),
        "graph": read["graph"].astype(np.float32),
    }


def user_vectors(bundle: Bundle, items: NDArray[np.float32], threads: int = 1) -> NDArray[np.float32]:
    """Every user through user_tower.onnx as of the end of the log, float32 [U, D]; `items` are the item vectors."""
    session = bundle.session("user_tower", threads)
    vectors = np.zeros((len(bundle.users), bundle.spec.dim), np.float32)
    table = ArrayItems(items, bundle.array("item_features/attributes.npy"))
    now = log_end(bundle)
    for rows in same_length(bundle):
        inputs = [user_tower_inputs(bundle.spec, user_moment(bundle, int(row), now), table) for row in rows]
        stacked = {name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]}
        (vectors[rows],) = session.run(["user_vector"], stacked)
    return vectors


def user_moment(bundle: Bundle, row: int, now: float) -> Moment:
    """A training user at a moment, in no particular context."""
    profile = bundle.array("user_features/profile.npy")[row]
    return Moment(bundle.user_history(row), profile, bundle.spec.context_ids({}), now)


def log_end(bundle: Bundle) -> float:
    """Time of the newest event of all, NaN for a log without times."""
    times = bundle.array("user_features/times.npy")
    return float(np.nanmax(times)) if len(times) and not np.isnan(times).all() else float("nan")


def same_length(bundle: Bundle) -> Iterator[NDArray[np.int64]]:
    """Rows of users in runs of equal (clipped) history length: a run needs no padding, as in serving."""
    sizes = np.minimum(np.diff(bundle.array("user_features/indptr.npy")), bundle.spec.history_length)
    for size in np.unique(np.maximum(sizes, 1)):
        rows = np.flatnonzero(np.maximum(sizes, 1) == size)
        padding = sizes[rows] == 0  # an empty history is one padded event; keep it apart from a real single one
        for group in (rows[padding], rows[~padding]):
            yield from (group[start : start + USERS_A_RUN] for start in range(0, len(group), USERS_A_RUN))
