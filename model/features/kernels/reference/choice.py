"""Choosing among rows and what channels say of them, in numpy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

DENSE_ITEMS = 50_000  # up to so many items, sums over the whole catalogue are cheaper than sorting what is reached

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def best(rows: Rows, scores: Floats, mask: Mask | None, excluded: Rows, out_rows: Rows, out_scores: Floats) -> int:
    """The best entries that may be answered: score descending, then row; how many there are.

    rows int64 [M], each once · scores float32 [M] · mask bool [catalogue], None for all · excluded int64, ascending ·
    out_rows int64 [k], out_scores float32 [k]. Raises IndexError for a row outside of the mask, and for a negative one.
    """
    if len(rows) and rows.min() < 0:
        raise IndexError(f"row {rows.min()}: rows start at 0")
    good = np.ones(len(rows), np.bool_) if mask is None else mask.take(rows)
    if len(excluded):
        good &= excluded.take(excluded.searchsorted(rows), mode="clip") != rows
    rows, scores, k = rows[good], scores[good], len(out_rows)
    if len(rows) > k:
        cut = np.partition(scores, len(scores) - k)[len(scores) - k] if k else np.inf
        near = scores >= cut
        rows, scores = rows[near], scores[near]
    order = np.lexsort((rows, -scores))[:k]
    out_rows[: len(order)], out_scores[: len(order)] = rows[order], scores[order]
    return len(order)


def neighbours(
    indptr: Rows,
    indices: NDArray[np.int32],
    weights: Floats,
    rows: Rows,
    factors: Floats,
    mask: Mask | None,
    excluded: Rows,
    out_rows: Rows,
    out_scores: Floats,
    beyond_rows: Rows,
    beyond_scores: Floats,
) -> tuple[int, int]:
    """`best` of score(j) = Σ_i factors[i] · weight(rows[i] → j) over a compressed-sparse-row table, and all others.

    indptr int64 [N+1], indices int32 [nnz], weights float32 [nnz]; rows int64 [L] beyond N add nothing; factors
    float32 [L]. Products are of float32, sums of float64. What is not among the best, or may not be answered, goes
    in any order into beyond_rows and beyond_scores as far as there is room. Returns how many of both.
    """
    size = len(indptr) - 1
    known = (rows >= 0) & (rows < size)
    rows, factors = rows[known], factors[known]
    starts, ends = indptr.take(rows), indptr.take(rows + 1)
    spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
    targets = np.concatenate([indices[:0], *[indices[start:end] for start, end in spans]])
    parts = np.concatenate([weights[:0], *[weights[start:end] for start, end in spans]])
    parts *= np.repeat(factors, ends - starts)
    if size <= DENSE_ITEMS:
        sums = np.bincount(targets, parts, size)
        found = np.flatnonzero(sums)
        sums = sums[found]
    else:
        found, places = np.unique(targets, return_inverse=True)
        sums = np.bincount(places, parts, len(found))
        found, sums = found[sums != 0], sums[sums != 0]
    found, scores = found.astype(np.int64), sums.astype(np.float32)
    count = best(found, scores, mask, excluded, out_rows, out_scores)
    others = np.flatnonzero(~np.isin(found, out_rows[:count]))[: len(beyond_rows)]
    beyond_rows[: len(others)], beyond_scores[: len(others)] = found[others], scores[others]
    return count, len(others)


def nearest(vectors: Floats, rows: Rows, query: Floats, out_rows: Rows, out_scores: Floats) -> int:
    """The best of some rows of vectors [N, D] by inner product with query [D]; how many there are.

    rows int64 [M], each once, -1 where there is none · out_rows int64 [k], out_scores float32 [k], score descending,
    then row. Raises IndexError for a row that `vectors` does not have.
    """
    real = rows[rows >= 0]
    return best(real, (vectors[real] @ query).astype(np.float32), None, rows[:0], out_rows, out_scores)


def merge(lists: tuple[Rows, ...], quotas: tuple[int, ...], out_rows: Rows, out_offered: Mask) -> int:
    """One list of candidates out of many lists, each cut at its quota; how many there are.

    An entry's place is its rank over its list's quota, a row's place the best of its entries'; the first by place stay
    (ties: lower row) and stand by row. lists int64 [.], best first · out_rows int64 [limit] · out_offered bool
    [limit, lists]: which list offered each.
    """
    lists = tuple(rows[:quota] for rows, quota in zip(lists, quotas, strict=True))
    sizes = [len(rows) for rows in lists]
    owner = np.repeat(np.arange(len(lists)), sizes)
    rows = np.concatenate([np.empty(0, np.int64), *lists])
    places = np.concatenate([np.empty(0), *(np.arange(n) / max(q, 1) for n, q in zip(sizes, quotas, strict=True))])
    order = np.argsort(rows, kind="stable")
    new = np.ones(len(rows), np.bool_)  # where another row begins
    np.not_equal(rows[order][1:], rows[order][:-1], out=new[1:])
    starts = np.flatnonzero(new)
    unique = rows[order][starts]
    offered = np.zeros((len(unique), len(lists)), np.bool_)
    offered[np.cumsum(new) - 1, owner[order]] = True
    if len(unique) > len(out_rows):
        first = np.minimum.reduceat(places[order], starts)
        kept = np.sort(np.argsort(first, kind="stable")[: len(out_rows)])
        unique, offered = unique[kept], offered[kept]
    out_rows[: len(unique)], out_offered[: len(unique)] = unique, offered
    return len(unique)


def evidence(
    candidates: Rows,
    lists: tuple[Rows, ...],
    scores: tuple[Floats, ...],
    beyond_rows: tuple[Rows, ...],
    beyond_scores: tuple[Floats, ...],
    offset: float,
    out: Floats,
) -> None:
    """What lists say of candidates: log(1 + score), and rank r read as offset / (offset + r); 0 where one is silent.

    candidates int64 [C], in any order · lists int64 [.], best first, each row once · beyond: more rows that a list has
    a score for, but no rank · out float32 [C, 2 · lists].
    """
    unique, places = np.unique(candidates, return_inverse=True)
    found = np.zeros((2 * len(lists), len(unique)), np.float32)
    for number, (rows, score) in enumerate(zip(lists, scores, strict=True)):
        for several, said, ranked in ((rows, score, True), (beyond_rows[number], beyond_scores[number], False)):
            if not len(unique) or not len(several):
                continue
            at = unique.searchsorted(several)
            hit = np.flatnonzero(unique.take(at, mode="clip") == several)
            found[2 * number, at[hit]] = np.log1p(said[hit])
            if ranked:
                found[2 * number + 1, at[hit]] = offset / (offset + hit)
    out[:] = found[:, places].T


def echoed(
    indptr: Rows,
    indices: NDArray[np.int32],
    weights: Floats,
    rows: Rows,
    values: Floats,
    own: Floats,
    candidates: Rows,
    near: int,
    pseudo: float,
    out: Floats,
) -> None:
    """What a user thinks of a candidate's neighbours: Σ s · own / (Σ s + pseudo), and log(1 + Σ s).

    s is how near the candidate is to an item that the user gave a value (NaN: none): what it weighs among that item's
    `near` first neighbours in a table as of `neighbours`, over what the first weighs. rows int64 [L], silent beyond N ·
    values, own float32 [L] · candidates int64 [C], in any order · out float32 [C, 2].
    """
    known = (rows >= 0) & (rows < len(indptr) - 1) & (values == values)  # NaN is not
    rows, own = rows[known], own[known]
    starts, unique = indptr.take(rows), np.unique(candidates)
    counts = np.minimum(indptr.take(rows + 1) - starts, near)
    at = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    whose = np.repeat(np.arange(len(rows)), counts)
    asked = np.isin(indices[at], unique)
    at, whose = at[asked], whose[asked]
    nearness, places = weights[at] / weights[starts[whose]], unique.searchsorted(indices[at])
    told = np.bincount(places, nearness * own[whose].astype(np.float64), len(unique))
    whole = np.bincount(places, nearness, len(unique))
    found = np.stack([told / (whole + pseudo), np.log1p(whole)], axis=1)
    out[:] = found[unique.searchsorted(candidates)]


def take(table: NDArray[Any], rows: Rows, out: NDArray[Any]) -> None:
    """Rows of a matrix [N, D] of any kind into `out` [len(rows), D] of the same kind. IndexError for one beyond it."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(table):
        wrong = rows[(rows < 0) | (rows >= len(table))][0]
        raise IndexError(f"row {wrong}: rows start at 0, and there are {len(table)}")
    table.take(rows, axis=0, out=out, mode="clip")


def platt(logits: Floats, a: float, b: float, out: Floats) -> None:
    """sigmoid(a · logit + b) of logits float32 [n]; both may be columns of a matrix."""
    out[:] = 0.5 * (1.0 + np.tanh(0.5 * (np.float32(a) * logits + np.float32(b))))


def blend(
    values: Floats,
    low: NDArray[np.float64],
    width: NDArray[np.float64],
    weights: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Σ_t weights[t] · (values[:, t] - low[t]) / width[t], each bounded to [0, 1]; values float32 [C, T], out [C]."""
    chances = np.minimum(np.maximum((values - low) / width, 0.0), 1.0)
    out[:] = np.add.reduce(np.ascontiguousarray((chances * weights).T))  # task by task: equal rows have equal sums
