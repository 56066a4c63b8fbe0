"""What each kernel does, in numpy: the definition that the native ones are held to, and their stand-in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

DENSE_ITEMS = 50_000  # up to so many items, sums over the whole catalogue are cheaper than sorting what is reached
LONG_AGO = 1e20  # seconds

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


def counted(
    rows: Rows,
    counts: NDArray[np.float64],
    newest: NDArray[np.float64],
    first: NDArray[np.float64],
    half_lives: NDArray[np.float64],
    total: NDArray[np.float64],
    now: float,
    prior_count: float,
    prior_events: float,
    out: Floats,
) -> None:
    """Shares, rates and age of items as `ItemCounters.columns` defines them; a row beyond the end has had no event.

    counts float64 [N, E, W] as of newest float64 [N] · first float64 [N] · half_lives float64 [W], inf last · total
    float64 [E, W] of all items · out float32 [len(rows), E · W + E + 1]. Raises IndexError for a row below 0.
    """
    _check_rows(rows)
    usual = total[:, -1] + prior_count
    usual = (usual / usual.sum()).astype(np.float32)[:, None]
    mean = np.log(total / max(len(newest), 1) + prior_count).astype(np.float32).reshape(-1, 1)
    met, (items, kinds, windows) = rows < len(newest), counts.shape
    at = np.minimum(rows, items - 1)
    told = np.empty((kinds * windows + kinds + 1, len(rows)), np.float32)
    shares, rates, age = told[: kinds * windows], told[kinds * windows : -1], told[-1]
    taken = counts.take(at, axis=0).reshape(len(rows), kinds * windows)
    mine = taken.T.astype(np.float32, order="C").reshape(kinds, windows, len(rows)) * met
    ages = np.minimum(now - newest.take(at), LONG_AGO).astype(np.float32)
    fade = np.exp((-np.log(2.0) / half_lives).astype(np.float32)[:, None] * ages)
    np.multiply(mine, fade, out=shares.reshape(mine.shape))
    shares += np.float32(prior_count)
    np.add(mine[:, -1], np.float32(prior_events) * usual, out=rates)
    rates /= mine[:, -1].sum(axis=0) + np.float32(prior_events)
    age[:] = now - np.where(met, first.take(at), np.inf)
    np.maximum(age * np.float32(1 / 3600) + np.float32(1), np.float32(1), out=age)
    np.log(told, out=told)
    shares -= mean
    rates -= np.log(usual)
    age *= np.float32(0.1)
    out[:] = told.T


def valued(
    rows: Rows,
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
    prior: float,
    events: float,
    low: float,
    high: float,
    out: Floats,
) -> None:
    """Mean value of each item's events with `events` of value `prior` more, as `scaled` gives it.

    sums and counts float64 [N]; a row beyond the end has had no event · out float32 [len(rows), 1]. Raises IndexError
    for a row below 0.
    """
    _check_rows(rows)
    met, at = rows < len(sums), np.minimum(rows, len(sums) - 1)
    told = (sums.take(at) * met + events * prior) / (counts.take(at) * met + events)
    scaled(told.astype(np.float32), low, high, out[:, 0])


def leanings(
    values: Floats,
    rows: Rows,
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
    prior: float,
    events: float,
    low: float,
    high: float,
    recent: float,
    pseudo: float,
    own: Floats,
) -> tuple[float, float]:
    """How far a user's values (NaN: none) lie above what others think of the items: of all events, and of newer ones.

    Both values and items' means as `scaled` and `valued` give them; an event weighs `recent` of the next newer one;
    `pseudo` events lie not above at all · own float32 [len(rows)]: what is left of each value then, 0 where there is
    none. Raises IndexError for a row below 0.
    """
    worth, above = np.empty((len(rows), 1), np.float32), np.empty(len(rows), np.float32)
    valued(rows, sums, counts, prior, events, low, high, worth)
    scaled(values, low, high, above)
    told, newest = values == values, recent ** np.arange(len(rows), dtype=np.float64)[::-1]  # NaN is not
    above -= worth[:, 0]
    usual, recently = (float((w * above).sum() / (w.sum() + pseudo)) for w in (told.astype(np.float64), told * newest))
    own[:] = np.where(told, above - np.float32(usual), 0)
    return usual, recently


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


def _check_rows(rows: Rows) -> None:
    if len(rows) and rows.min() < 0:
        raise IndexError(f"row {rows.min()}: rows start at 0")


def scaled(values: Floats, low: float, high: float, out: Floats) -> None:
    """Values mapped from [low, high] to [0, 1], bounded; 0.5 for NaN. Both float32 [n]."""
    share = (values - np.float32(low)) / np.float32(max(high - low, 1e-9))
    out[:] = np.where(np.isnan(values), 0.5, np.minimum(np.maximum(share, 0.0), 1.0))


def gaps(times: NDArray[np.float64], now: float, edges: NDArray[np.float64], out: Rows) -> None:
    """Bucket of the time from each event to the next one, the last one's to `now`: 1 + edges passed, 0 for NaN.

    times float64 [L] · edges float64, ascending · out int64 [L]. Negative gaps count as none.
    """
    found = np.append(times, now)[1:] - times
    out[:] = np.where(np.isnan(found), 0, np.searchsorted(edges, found, side="right") + 1)


def habits(
    types: Rows,
    values: Floats,
    times: NDArray[np.float64],
    now: float,
    recent: float,
    never: float,
    kinds: int,
    out: Floats,
) -> None:
    """What a history says of its user beyond its items, as `model.features.ranking.user_feature_names` lists it.

    types int64 [L], 1 to kinds · values float32 [L], scaled · times float64 [L], NaN unknown · `recent`: an event's
    weight over the next newer one's · `never`: how a gap reads that has no beginning · out float32 [4 + 3 · kinds].
    Raises IndexError for another type.
    """
    if len(types) and not 1 <= types.min() <= types.max() <= kinds:
        raise IndexError(f"event types {types.min()} to {types.max()}: types are 1 to {kinds}")
    newness = recent ** np.arange(len(types), dtype=np.float64)[::-1]
    often = np.bincount(types, minlength=kinds + 1)[1:].astype(np.float64)
    lately = np.bincount(types, newness, minlength=kinds + 1)[1:].astype(np.float64)
    last = np.full(kinds + 1, np.nan)
    last[types] = times  # the newest of a type is written last
    since = now - last[1:]
    since = np.where(np.isnan(since), never, np.log1p(np.maximum(since, 0.0)) / 10)
    shortest = float(since.min())
    out[0] = np.log1p(len(types))
    out[1], out[2] = _mean(values, np.ones(len(types))), _mean(values, newness)
    out[3] = shortest if shortest < never else 0.0
    out[4:] = np.concatenate([_log_share(often, kinds), _log_share(lately, kinds), since])


def _log_share(counts: NDArray[np.float64], kinds: int) -> NDArray[np.float64]:
    """log of smoothed shares of counts [E], relative to equal ones."""
    made: NDArray[np.float64] = np.log((counts + 0.5) / (counts.sum() + 0.5 * kinds) * kinds)
    return made


def _mean(values: Floats, weights: NDArray[np.float64]) -> float:
    """Weighted mean with one pseudo-value of 0.5."""
    return float((values @ weights + 0.5) / (weights.sum() + 1))


def crosses(
    history: Rows,
    ids: NDArray[np.int32],
    values: Floats,
    candidates: Rows,
    mine: NDArray[np.int32],
    out: Floats,
) -> None:
    """How candidates meet a history: overlap of attributes, how those were liked, how often it holds them, and last.

    How often is log2(1 + times): 1 for once.

    history int64 [L], oldest first · ids int32 [K, A], 0-padded, and values float32 [K], scaled, of its newest events ·
    candidates int64 [C], mine int32 [C, A] · out float32 [C, 4].
    """
    size = 1 + max(ids.max(initial=0), mine.max(initial=0))
    often, liked = np.zeros(size), np.zeros(size)
    np.add.at(often, ids, 1.0)
    np.add.at(liked, ids, np.broadcast_to((values - np.float32(0.5))[:, None], ids.shape))
    often[0] = liked[0] = 0.0
    known = np.maximum((mine != 0).sum(axis=1), 1).astype(np.float32)
    out[:, 0] = often.take(mine).sum(axis=1).astype(np.float32) / known / np.float32(max(len(ids), 1))
    out[:, 1] = (liked / (often + 1)).take(mine).sum(axis=1).astype(np.float32) / known
    met, times = np.unique(history, return_counts=True)
    place = np.minimum(np.searchsorted(met, candidates), max(len(met) - 1, 0))
    found = met[place] == candidates if len(met) else np.zeros(len(candidates), bool)
    out[:, 2] = np.log2(1.0 + np.where(found, times[place] if len(met) else 0, 0))
    out[:, 3] = candidates == history[-1] if len(history) else 0.0


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
