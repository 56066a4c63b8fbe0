"""Items, and how candidates meet a history, in numpy."""

import numpy as np
from numpy.typing import NDArray

LONG_AGO = 1e20  # seconds

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


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


def own_lifts(
    history: Rows,
    contexts: Rows,
    ids: NDArray[np.int32],
    asked: Rows,
    usual: Floats,
    candidates: Rows,
    mine: NDArray[np.int32],
    lifts: Floats,
    priors: tuple[float, float, float],
    out: Floats,
) -> None:
    """How much more often than expected a history turned to candidates, and to what is like them, in a context.

    For each of X context columns two logarithms, of which 0 says nothing: of the share of a candidate's events in the
    history that have the value asked for, over what `lifts` of all users lead to expect; and of the shares of its
    attributes, over the user's own, on average.

    history int64 [L], oldest first · contexts int64 [L, X], 0 for unknown · ids int32 [K, A], 0-padded, of its newest
    events' items · asked int64 [X] and usual float32 [X]: value asked for, and its share of everybody's events (0: that
    column says nothing) · candidates int64 [C], mine int32 [C, A], lifts float32 [C, X] · priors: pseudo-events of a
    user and of an item, and the largest share that is expected · out float32 [C, 2 X].
    """
    of_user, of_item, most = priors
    out[:] = 0.0
    met, place = np.unique(history, return_inverse=True)
    at = np.minimum(np.searchsorted(met, candidates), max(len(met) - 1, 0))
    found = met[at] == candidates if len(met) else np.zeros(len(candidates), bool)
    vocabulary, known_ids = 1 + max(ids.max(initial=0), mine.max(initial=0)), np.maximum((mine > 0).sum(axis=1), 1)
    newest = len(history) - len(ids)
    for column in np.flatnonzero(usual > 0).tolist():
        told = contexts[:, column] > 0
        here = contexts[:, column] == asked[column]
        share = (here.sum() + of_user * float(usual[column])) / (told.sum() + of_user)
        expected = np.minimum(share * np.exp(lifts[:, column].astype(np.float64)), most)
        counts = [np.bincount(place[some], minlength=len(met)) for some in (here, told)]
        if len(met):
            out[:, 2 * column] = np.where(found, _over(counts[0][at], counts[1][at], expected, of_item), 0.0)
        of_ids = [np.bincount(ids[some[newest:]].ravel(), minlength=vocabulary) for some in (here, told)]
        like = _over(of_ids[0], of_ids[1], share, of_item)
        like[0] = 0.0
        out[:, 2 * column + 1] = like[mine].sum(axis=1) / known_ids


def _over(
    here: NDArray[np.int64], told: NDArray[np.int64], expected: NDArray[np.float64] | float, prior: float
) -> NDArray[np.float64]:
    """Log of the smoothed share of events that happened here over what was expected."""
    made: NDArray[np.float64] = np.log((here + prior * expected) / ((told + prior) * expected))
    return made


def _check_rows(rows: Rows) -> None:
    if len(rows) and rows.min() < 0:
        raise IndexError(f"row {rows.min()}: rows start at 0")
