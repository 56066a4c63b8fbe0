"""Who is served how well, and which items are shown: exposure by popularity, quality by group of users."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from model.features.spec import AttributeSpec
from model.train import metrics
from model.train.significance import Difference, Sample, paired

FEWEST, FEWEST_USERS = 30, 5  # moments and users of a group, below which nothing is said of it
TENTHS = 10
Figures = dict[str, dict[str, float]]


def exposure_by_popularity(counts: NDArray[np.int64], shown: NDArray[np.int64], taken: NDArray[np.int64]) -> Figures:
    """Tenth of the catalogue, most popular first → its share of recommendations, of past events, of what was taken.

    counts, shown, taken int64 [N]: how often each item is in the log that was learned from, in lists, in the test part.
    """
    order = np.argsort(-counts, kind="stable")
    tenths = np.array_split(order, TENTHS)
    return {
        str(place + 1): {
            "recommendations": _share(shown, rows), "past events": _share(counts, rows), "taken": _share(taken, rows),
            "items": float(len(rows)),
        }
        for place, rows in enumerate(tenths)
    }  # fmt: skip


def _share(counts: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
    return float(counts[rows].sum() / max(counts.sum(), 1))


def groups_of(spec: AttributeSpec) -> Iterator[tuple[str, int]]:
    """Each value (or range) of an attribute as people read it, with its id."""
    if spec.kind != "numeric":
        yield from ((value, spec.offset + place) for place, value in enumerate(spec.values))
        return
    ends = ["", *(f"{edge:g}" for edge in spec.edges), ""]
    for place, (low, high) in enumerate(pairwise(ends)):
        yield _range(low, high), spec.offset + place


def _range(low: str, high: str) -> str:
    if not low or not high:
        return f"below {high}" if high else f"{low} and above" if low else "known"
    return f"{low} to below {high}"


def group_figures(
    attribute: AttributeSpec, profile: NDArray[np.int32], users: NDArray[np.int64], ranks: NDArray[np.int64]
) -> Figures:
    """Value of a profile attribute → NDCG@10, HR@10 and number of its moments, where there are enough.

    profile int32 [U, P]: attribute ids of each user · users, ranks int64 [S]: the moments.
    """
    found: Figures = {}
    for name, number in groups_of(attribute):
        mine = (profile[users] == number).any(axis=1)
        people = len(np.unique(users[mine]))
        if mine.sum() >= FEWEST and people >= FEWEST_USERS:
            reached = ranks[mine]
            found[name] = {
                "ndcg@10": metrics.ndcg(reached), "hr@10": metrics.hit_rate(reached), "moments": float(mine.sum()),
                "users": float(people),
            }  # fmt: skip
    return found


def largest_gap(
    attribute: AttributeSpec,
    figures: Figures,
    profile: NDArray[np.int32],
    users: NDArray[np.int64],
    ranks: NDArray[np.int64],
    generator: np.random.Generator,
) -> tuple[str, str, Difference] | None:
    """The groups with best and worst NDCG@10 and their difference; users are resampled, not moments. None for < 2."""
    if len(figures) < 2:
        return None
    ordered = sorted(figures, key=lambda name: figures[name]["ndcg@10"])
    number = dict(groups_of(attribute))
    best, worst = (_gains(number[name], profile, users, ranks) for name in (ordered[-1], ordered[0]))
    return ordered[-1], ordered[0], paired([(best, worst)], generator)


def _gains(number: int, profile: NDArray[np.int32], users: NDArray[np.int64], ranks: NDArray[np.int64]) -> Sample:
    mine = (profile[users] == number).any(axis=1)
    return Sample.of("mean", metrics.gains(ranks[mine]), users[mine])


def group_gaps(
    attributes: Sequence[AttributeSpec],
    profile: NDArray[np.int32],
    users: NDArray[np.int64],
    ranks: NDArray[np.int64],
    generator: np.random.Generator,
) -> tuple[dict[str, Figures], dict[str, dict[str, float | str]]]:
    """Attribute → group → figures, and attribute → its largest gap with a 95 % interval."""
    groups = {one.name: group_figures(one, profile, users, ranks) for one in attributes}
    gaps: dict[str, dict[str, float | str]] = {}
    for one in attributes:
        gap = largest_gap(one, groups[one.name], profile, users, ranks, generator)
        if gap is not None:
            best, worst, found = gap
            gaps[one.name] = {
                "best": best, "worst": worst, "difference": found.value, "low": found.low, "high": found.high
            }  # fmt: skip
    return {name: one for name, one in groups.items() if one}, gaps
