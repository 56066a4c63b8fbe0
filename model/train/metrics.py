"""Quality figures as pure functions; ranks start at 0, and a positive that is not in a list has rank `MISSED`."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MISSED = np.iinfo(np.int64).max
Floats: TypeAlias = NDArray[np.float64] | NDArray[np.float32]


def ndcg(ranks: NDArray[np.int64], k: int = 10) -> float:
    """Mean NDCG@k of one positive a list, whose ideal is 1; ranks [n]."""
    return float(gains(ranks, k).mean()) if len(ranks) else 0.0


def gains(ranks: NDArray[np.int64], k: int = 10) -> NDArray[np.float64]:
    """NDCG@k of each list with one positive, [n]."""
    near = ranks < k
    return np.where(near, 1 / np.log2(np.where(near, ranks, 0) + 2), 0.0)


def hit_rate(ranks: NDArray[np.int64], k: int = 10) -> float:
    """Share of lists with the positive among the first k (with one positive a list this is also Recall@k)."""
    return float((ranks < k).mean()) if len(ranks) else 0.0


def rank_of(scores: Floats, target: int) -> int:
    """Rank of one entry among scores [n], ties broken by position as lists do; -inf is never ranked."""
    if not np.isfinite(scores[target]):
        return int(MISSED)
    better = int((scores > scores[target]).sum())
    return better + int((scores[:target] == scores[target]).sum())


def auc(labels: Floats, scores: Floats) -> float:
    """Area under the ROC curve with ties as halves (Mann–Whitney); NaN when a class is missing."""
    positive: NDArray[np.bool_] = np.asarray(labels, np.float64) > 0.5
    ups = int(positive.sum())
    downs = len(positive) - ups
    if not ups or not downs:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2  # mean rank of each tie, from 1
    return float((middle[inverse][positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


def rmse(labels: Floats, values: Floats) -> float:
    """Root mean squared error; NaN of nothing."""
    return float(np.sqrt(np.mean((labels - values) ** 2))) if len(labels) else float("nan")


def log_loss(labels: Floats, probabilities: Floats) -> float:
    """Mean negative log-likelihood of binary labels, probabilities kept off 0 and 1."""
    p = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return -float(np.mean(np.where(labels > 0.5, np.log(p), np.log1p(np.negative(p))))) if len(labels) else float("nan")


def reliability(labels: Floats, probabilities: Floats, bins: int = 15) -> list[tuple[float, float, int]]:
    """Mean probability, share of positives and count of equally filled bins, lowest first."""
    order: NDArray[np.int64] = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [(float(probabilities[part].mean()), float(labels[part].mean()), len(part)) for part in parts]


def ece(labels: Floats, probabilities: Floats, bins: int = 15) -> float:
    """Expected calibration error over equally filled bins; NaN of nothing."""
    found = reliability(labels, probabilities, bins)
    total = sum(count for _, _, count in found)
    return sum(abs(said - was) * count for said, was, count in found) / total if total else float("nan")


def gini(counts: Floats | NDArray[np.int64]) -> float:
    """How unevenly exposure is spread over the catalogue: 0 all alike, towards 1 all on one item."""
    ordered = np.sort(np.asarray(counts, np.float64))
    total, size = ordered.sum(), len(ordered)
    if not total:
        return 0.0
    return float((2 * np.arange(1, size + 1) - size - 1) @ ordered / (size * total))


def coverage(lists: NDArray[np.int64], items: int) -> float:
    """Share of the catalogue that is in any list; lists of rows, -1 padded."""
    return len(np.unique(lists[lists >= 0])) / max(items, 1)
