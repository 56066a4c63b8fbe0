"""Native kernels and their numpy definitions: the same numbers for whatever comes in, and the same refusals."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.features import kernels
from model.features.kernels import reference

Array: TypeAlias = NDArray[Any]
CATALOGUE = 60
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(0, 40)


def check_both(name: str, *arguments: object, outs: tuple[Array, ...]) -> tuple[Any, tuple[Array, ...]]:
    """What the kernel writes and returns, after it was held to its definition."""
    made = []
    for module in (kernels, reference):
        mine = tuple(out.copy() for out in outs)
        found = getattr(module, name)(*arguments, *mine)
        made.append((found, written(found, mine)))
    (here, ours), (there, theirs) = made
    assert here == there
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=3e-6, atol=3e-6)
    return here, ours


def written(found: int | tuple[int, int] | None, outs: tuple[Array, ...]) -> tuple[Array, ...]:
    """What a call has written of its arrays; of a pair of counts the second is of rows in any order."""
    if not isinstance(found, tuple):
        return tuple(out[:found] for out in outs)
    count, more = found
    order = np.argsort(outs[2][:more])
    return outs[0][:count], outs[1][:count], outs[2][:more][order], outs[3][:more][order]


def some(generator: np.random.Generator, size: int, most: int = CATALOGUE) -> NDArray[np.int64]:
    return generator.permutation(most)[:size].astype(np.int64)


def rule(generator: np.random.Generator, masked: bool) -> tuple[Array | None, Array]:
    mask = generator.random(CATALOGUE) < 0.7 if masked else None
    return mask, np.sort(some(generator, int(generator.integers(0, 9))))


def few_levels(generator: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Scores with ties."""
    return (generator.integers(0, 6, size) / 4).astype(np.float32)


def test_this_build_has_native_kernels() -> None:
    """Where the suite runs there is a compiler, so that the other tests here compare two things."""
    assert kernels.NATIVE
    assert kernels.best is not reference.best


@given(seeds, sizes, st.integers(0, 45), st.booleans())
def test_best(seed: int, size: int, k: int, masked: bool) -> None:
    generator = np.random.default_rng(seed)
    rows, scores = some(generator, size), few_levels(generator, size)
    mask, excluded = rule(generator, masked)
    outs = np.zeros(k, np.int64), np.zeros(k, np.float32)
    found, (best_rows, best_scores) = check_both("best", rows, scores, mask, excluded, outs=outs)
    allowed = [row for row in rows.tolist() if (mask is None or mask[row]) and row not in excluded]
    assert found == min(k, len(allowed))
    of_row = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    assert best_rows.tolist() == sorted(allowed, key=lambda row: (-of_row[row], row))[:k]
    assert best_scores.tolist() == [of_row[row] for row in best_rows.tolist()]


@given(seeds, st.integers(0, 3_000), st.integers(0, 300), st.sampled_from([6, 10**6]))
def test_best_of_many(seed: int, size: int, k: int, levels: int) -> None:
    """More than a few times k, in order, the other way round or in none; with ties or hardly any; below 0 and above."""
    generator = np.random.default_rng(seed)
    scores = (generator.integers(0, levels, size) / levels - 0.5).astype(np.float32)
    if seed % 3:
        scores.sort()
    if seed % 3 == 2:
        scores = scores[::-1].copy()
    rows = generator.choice(5_000, size, replace=False).astype(np.int64)
    outs = np.zeros(k, np.int64), np.zeros(k, np.float32)
    found, (best_rows, best_scores) = check_both("best", rows, scores, None, NO_ROWS, outs=outs)
    order = np.lexsort((rows, -scores))[:k]
    assert found == len(order)
    assert (best_rows.tolist(), best_scores.tolist()) == (rows[order].tolist(), scores[order].tolist())


@given(seeds, st.integers(0, 300), st.integers(0, 40), st.integers(1, 20))
def test_nearest(seed: int, size: int, k: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    vectors = generator.integers(-8, 9, (400, width)).astype(np.float32)  # sums are exact, ties are ties
    rows, query = some(generator, size, 400), generator.integers(-8, 9, width).astype(np.float32)
    rows[generator.random(size) < 0.1] = -1
    outs = np.zeros(k, np.int64), np.zeros(k, np.float32)
    found, (best_rows, best_scores) = check_both("nearest", vectors, rows, query, outs=outs)
    real = rows[rows >= 0]
    order = np.lexsort((real, -(vectors[real] @ query)))[:k]
    assert found == len(order)
    assert best_rows.tolist() == real[order].tolist()
    np.testing.assert_array_equal(best_scores, vectors[best_rows] @ query)


def test_what_is_no_number_is_worse_than_all_others() -> None:
    scores = np.asarray([np.nan, 0.0, -np.inf, -0.0, np.inf], np.float32)
    for module in (kernels, reference):
        rows, said = np.zeros(5, np.int64), np.zeros(5, np.float32)
        assert module.best(np.arange(5), scores, None, NO_ROWS, rows, said) == 5
        assert rows.tolist() == [4, 1, 3, 2, 0]


def table(generator: np.random.Generator, items: int = 50) -> tuple[Array, Array, Array]:
    lengths = generator.integers(0, 8, items)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    indices = generator.integers(0, items, indptr[-1]).astype(np.int32)
    return indptr, indices, (few_levels(generator, len(indices)) + np.float32(0.25))


@given(seeds, sizes, st.integers(0, 45), st.booleans())
def test_neighbours(seed: int, size: int, k: int, masked: bool) -> None:
    generator = np.random.default_rng(seed)
    rows, factors = generator.integers(0, CATALOGUE, size), generator.random(size).astype(np.float32)
    beyond = np.zeros(400, np.int64), np.zeros(400, np.float32)
    outs, (mask, excluded) = (np.zeros(k, np.int64), np.zeros(k, np.float32)), rule(generator, masked)
    tables = table(generator)
    (found, more), (best, _, others, _) = check_both(
        "neighbours", *tables, rows, factors, mask, excluded, outs=(*outs, *beyond)
    )
    dense = np.zeros(CATALOGUE)
    for row, factor in zip(rows, factors, strict=True):
        if row < 50:
            span = slice(tables[0][row], tables[0][row + 1])
            np.add.at(dense, tables[1][span], factor * tables[2][span])
    assert sorted([*best.tolist(), *others.tolist()]) == np.flatnonzero(dense).tolist()
    assert (found, more) == (len(best), len(others))


def test_what_lies_beyond_the_best_neighbours_is_cut_where_there_is_no_room() -> None:
    tables = np.asarray([0, 3], np.int64), np.asarray([1, 2, 3], np.int32), np.asarray([3, 2, 1], np.float32)
    for module in (kernels, reference):
        out = np.zeros(1, np.int64), np.zeros(1, np.float32), np.zeros(1, np.int64), np.zeros(1, np.float32)
        assert module.neighbours(*tables, ONE * 0, SCORE, None, NO_ROWS, *out) == (1, 1)
        assert out[0].tolist() == [1]
        assert out[2].tolist() in ([2], [3])


def test_neighbours_of_a_large_catalogue() -> None:
    generator, items = np.random.default_rng(0), reference.DENSE_ITEMS + 10
    tables, outs = table(generator, items), (np.zeros(300, np.int64), np.zeros(300, np.float32))
    more = np.zeros(2000, np.int64), np.zeros(2000, np.float32)
    rows, factors = generator.integers(0, items, 200), np.ones(200, np.float32)
    found, _ = check_both("neighbours", *tables, rows, factors, None, np.empty(0, np.int64), outs=outs + more)
    assert found[0] == 300
    assert found[1] > 100


@given(seeds, st.integers(0, 6), st.integers(0, 70))
def test_merge(seed: int, channels: int, limit: int) -> None:
    generator = np.random.default_rng(seed)
    lists = tuple(some(generator, int(generator.integers(0, 30))) for _ in range(channels))
    quotas = tuple(int(one) for one in generator.integers(0, 30, channels))
    outs = np.zeros(limit, np.int64), np.zeros((limit, channels), np.bool_)
    found, (rows, offered) = check_both("merge", lists, quotas, outs=outs)
    everything = {row for rows_, quota in zip(lists, quotas, strict=True) for row in rows_[:quota].tolist()}
    assert found == min(limit, len(everything))
    assert rows.tolist() == sorted(set(rows.tolist()))
    for place, row in enumerate(rows.tolist()):
        assert offered[place].tolist() == [row in one[:quota] for one, quota in zip(lists, quotas, strict=True)]


@given(seeds, sizes, st.integers(1, 5))
def test_evidence(seed: int, size: int, channels: int) -> None:
    generator = np.random.default_rng(seed)
    lists = tuple(some(generator, int(generator.integers(0, 30))) for _ in range(channels))
    scores = tuple(few_levels(generator, len(one)) for one in lists)
    rest = [np.setdiff1d(np.arange(CATALOGUE), one) for one in lists]
    beyond = tuple(generator.permutation(one)[: int(generator.integers(0, 60))] for one in rest)
    more = tuple(few_levels(generator, len(one)) for one in beyond)
    candidates = generator.integers(0, CATALOGUE, size)  # in any order, some twice
    out = np.full((size, 2 * channels), 7, np.float32)
    _, (told,) = check_both("evidence", candidates, lists, scores, beyond, more, 10.0, outs=(out,))
    for number, rows in enumerate(lists):
        said = dict(zip([*rows, *beyond[number]], [*scores[number], *more[number]], strict=True))
        np.testing.assert_allclose(told[:, 2 * number], [np.log1p(said.get(one, 0.0)) for one in candidates], rtol=1e-5)
        assert (told[:, 2 * number + 1] > 0).tolist() == np.isin(candidates, rows).tolist()


@given(seeds, sizes, st.integers(1, 4), st.integers(0, 3))
def test_counted(seed: int, size: int, kinds: int, half_lives: int) -> None:
    generator, items, windows = np.random.default_rng(seed), 50, half_lives + 1
    newest = np.where(generator.random(items) < 0.2, -np.inf, generator.random(items) * 1e6)
    first = np.where(np.isinf(newest), np.inf, newest - 3600)
    counts = generator.integers(0, 5, (items, kinds, windows)) * (newest > 0)[:, None, None].astype(float)
    lives = np.asarray([*(86400.0 * (1 + np.arange(half_lives))), np.inf])
    rows = generator.integers(0, CATALOGUE, size)  # some beyond the end
    known = (rows, counts, newest, first, lives, counts.sum(axis=0))
    check_both("counted", *known, 1e6, 1.0, 5.0, outs=(np.zeros((size, kinds * windows + kinds + 1), np.float32),))


@given(seeds, sizes, st.sampled_from([float("nan"), 3.5]))
def test_valued(seed: int, size: int, prior: float) -> None:
    generator, counts = np.random.default_rng(seed), np.random.default_rng(seed).integers(0, 4, 50).astype(float)
    rows, out = generator.integers(0, CATALOGUE, size), np.zeros((size, 1), np.float32)
    check_both("valued", rows, counts * 4.0, counts, prior, 5.0, 1.0, 5.0, outs=(out,))


@given(seeds, sizes, st.sampled_from([float("nan"), 3.5]), st.sampled_from([0.0, 0.5, 1.0]))
def test_leanings(seed: int, size: int, prior: float, told: float) -> None:
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 4, 50).astype(float)
    rows, values = generator.integers(0, CATALOGUE, size), generator.integers(1, 6, size).astype(np.float32)
    values[generator.random(size) >= told] = np.nan
    made = []
    for module in (kernels, reference):
        own = np.full(size, np.nan, np.float32)
        levels = module.leanings(values, rows, counts * 4.0, counts, prior, 5.0, 1.0, 5.0, 0.9, 2.0, own)
        made.append((levels, own))
    (levels, own), (same_levels, same_own) = made
    np.testing.assert_allclose(levels, same_levels, rtol=3e-6, atol=3e-6)
    np.testing.assert_allclose(own, same_own, rtol=3e-6, atol=3e-6)
    assert not own[np.isnan(values)].any()
    if not told:
        assert levels == (0.0, 0.0)


@given(seeds, sizes, sizes, st.integers(0, 9), st.floats(0, 1))
def test_echoed(seed: int, size: int, asked: int, near: int, told: float) -> None:
    generator = np.random.default_rng(seed)
    indptr, indices, weights = table(generator)
    rows, candidates = generator.integers(0, CATALOGUE, size), generator.integers(0, CATALOGUE, asked)  # some twice
    values, own = np.ones(size, np.float32), generator.normal(size=size).astype(np.float32)
    values[generator.random(size) >= told] = np.nan
    arguments = (indptr, indices, weights, rows, values, own, candidates, near, 2.0)
    _, (out,) = check_both("echoed", *arguments, outs=(np.zeros((asked, 2), np.float32),))
    both = np.zeros((2, CATALOGUE))
    for row, leaning in zip(rows[~np.isnan(values)], own[~np.isnan(values)], strict=True):
        for at in range(*indptr[row : row + 2][:2])[:near] if row < 50 else ():
            both[:, indices[at]] += weights[at] / weights[indptr[row]] * np.asarray([leaning, 1.0])
    np.testing.assert_allclose(out[:, 0], (both[0] / (both[1] + 2))[candidates], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out[:, 1], np.log1p(both[1])[candidates], rtol=1e-4)


@given(st.lists(st.floats(-9, 9, width=32) | st.just(float("nan"))), st.floats(-3, 3), st.floats(0, 5))
def test_scaled(values: list[float], low: float, width: float) -> None:
    given_ = np.asarray(values, np.float32)
    _, (found,) = check_both("scaled", given_, low, low + width, outs=(np.zeros(len(values), np.float32),))
    assert ((found >= 0) & (found <= 1)).all()


times = st.lists(st.integers(0, 10**6).map(float) | st.just(float("nan")), max_size=30)


@given(times, st.integers(0, 10**6).map(float) | st.just(float("nan")))
def test_gaps(given_: list[float], now: float) -> None:
    edges = np.asarray([1.0, 60.0, 3600.0, 86400.0])
    check_both("gaps", np.asarray(given_, float), now, edges, outs=(np.zeros(len(given_), np.int64),))


@given(seeds, times, st.integers(1, 5))
def test_habits(seed: int, given_: list[float], kinds: int) -> None:
    generator, size = np.random.default_rng(seed), len(given_)
    types, values = generator.integers(1, kinds + 1, size), generator.random(size).astype(np.float32)
    arguments = (types, values, np.asarray(given_, float), 2e6, 0.9, 2.0, kinds)
    check_both("habits", *arguments, outs=(np.zeros(4 + 3 * kinds, np.float32),))


@given(seeds, sizes, sizes, st.integers(0, 4))
def test_crosses(seed: int, events: int, candidates: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    rows, asked = generator.integers(0, CATALOGUE, events), generator.integers(0, CATALOGUE, candidates)
    ids, mine = (generator.integers(0, 12, (n, width)).astype(np.int32) for n in (events, candidates))
    values = generator.random(events).astype(np.float32)
    older = generator.integers(0, CATALOGUE, 7)
    for history in (rows, np.concatenate([older, rows])):
        check_both("crosses", history, ids, values, asked, mine, outs=(np.zeros((candidates, 4), np.float32),))


@given(seeds, sizes, sizes, st.integers(0, 4), st.integers(1, 3))
def test_own_lifts(seed: int, events: int, candidates: int, width: int, columns: int) -> None:
    generator = np.random.default_rng(seed)
    rows, asked = generator.integers(0, CATALOGUE, events), generator.integers(0, CATALOGUE, candidates)
    ids, mine = (generator.integers(0, 12, (n, width)).astype(np.int32) for n in (events, candidates))
    contexts, value = generator.integers(0, 4, (events, columns)), generator.integers(0, 4, columns)
    usual = np.where(value > 0, generator.random(columns), 0).astype(np.float32)
    lifts = generator.normal(0, 1, (candidates, columns + 1)).astype(np.float32)[:, 1:]
    outs = (np.ones((candidates, 2 * columns), np.float32),)
    for newest in {events, events // 2}:
        some = ids[events - newest :]
        check_both("own_lifts", rows, contexts, some, value, usual, asked, mine, lifts, (10.0, 2.0, 0.9), outs=outs)


@given(seeds, sizes, st.sampled_from([np.float32, np.int32, np.float16]))
def test_take(seed: int, size: int, kind: type[np.generic]) -> None:
    generator = np.random.default_rng(seed)
    source, rows = generator.integers(0, 100, (30, 7)).astype(kind), generator.integers(0, 30, size)
    _, (found,) = check_both("take", source, rows, outs=(np.zeros((size, 7), kind),))
    np.testing.assert_array_equal(found, source[rows])


@given(seeds, sizes, st.floats(-3, 3), st.floats(-3, 3))
def test_platt(seed: int, size: int, a: float, b: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 5, (size, 3)).astype(np.float32)
    check_both("platt", logits[:, 1], a, b, outs=(np.zeros(size, np.float32),))


@given(seeds, sizes, st.integers(1, 4))
def test_blend(seed: int, size: int, tasks: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(0, 3, (size, tasks)).astype(np.float32)
    values[generator.random(values.shape) < 0.05] = np.nan
    ranges = generator.normal(size=tasks), generator.random(tasks) + 0.1
    check_both("blend", values, *ranges, generator.random(tasks), outs=(np.zeros(size),))


def check_refused(name: str, error: type[Exception], *arguments: object) -> None:
    for module in (kernels, reference):
        with pytest.raises(error):
            getattr(module, name)(*arguments)


NO_ROWS = np.empty(0, np.int64)
ONE, SCORE = np.zeros(1, np.int64), np.ones(1, np.float32)


def test_rows_that_are_not_there_are_refused_by_both() -> None:
    out = np.zeros(1, np.int64), np.zeros(1, np.float32)
    mask = np.ones(3, np.bool_)
    check_refused("best", IndexError, np.asarray([3]), SCORE, mask, NO_ROWS, *out)
    table_ = np.asarray([0, 1], np.int64), np.asarray([3], np.int32), SCORE
    check_refused("best", IndexError, np.asarray([-1]), SCORE, None, NO_ROWS, *out)
    check_refused("nearest", IndexError, np.ones((3, 2), np.float32), np.asarray([3]), np.ones(2, np.float32), *out)
    check_refused("neighbours", IndexError, *table_, ONE, SCORE, mask, NO_ROWS, *out, *out)
    check_refused(
        "valued", IndexError, np.asarray([-1]), np.ones(2), np.ones(2), 1.0, 5.0, 0.0, 1.0, np.zeros((1, 1), np.float32)
    )
    counters = np.ones((2, 1, 1)), np.ones(2), np.ones(2), np.asarray([np.inf]), np.ones((1, 1))
    check_refused("counted", IndexError, np.asarray([-1]), *counters, 1.0, 1.0, 5.0, np.zeros((1, 3), np.float32))
    check_refused("take", IndexError, np.ones((3, 2)), np.asarray([3]), np.ones((1, 2)))
    check_refused("take", IndexError, np.ones((3, 2)), np.asarray([-1]), np.ones((1, 2)))
    check_refused("habits", IndexError, np.asarray([2]), SCORE, np.ones(1), 1.0, 0.9, 2.0, 1, np.zeros(7, np.float32))


NO_TABLE = np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
WRONG: list[tuple[str, type[Exception], Callable[[], tuple[object, ...]]]] = [
    ("best", TypeError, lambda: (ONE, np.ones(1), None, NO_ROWS, ONE, SCORE)),  # float64 scores
    ("best", TypeError, lambda: (np.zeros(1, np.int32), SCORE, None, NO_ROWS, ONE.copy(), SCORE.copy())),
    ("best", ValueError, lambda: (ONE, np.ones(2, np.float32), None, NO_ROWS, ONE.copy(), SCORE.copy())),
    ("best", ValueError, lambda: (ONE, SCORE, None, NO_ROWS, ONE.copy(), np.ones(2, np.float32))),
    ("best", TypeError, lambda: (ONE, SCORE, None, None, ONE.copy(), SCORE.copy())),
    ("merge", ValueError, lambda: ((ONE,), (1, 2), ONE.copy(), np.zeros((1, 1), np.bool_))),
    ("merge", ValueError, lambda: ((ONE,), (1,), ONE.copy(), np.zeros((1, 2), np.bool_))),
    ("evidence", ValueError, lambda: (ONE, (ONE,), (SCORE,), (ONE,), (), 10.0, np.zeros((1, 2), np.float32))),
    ("evidence", ValueError, lambda: (ONE, (ONE,), (SCORE,), (ONE,), (SCORE,), 10.0, np.zeros((1, 3), np.float32))),
    ("evidence", ValueError, lambda: (ONE, (ONE,), (SCORE,), (ONE,), (SCORE[:0],), 10.0, np.zeros((1, 2), np.float32))),
    ("scaled", ValueError, lambda: (SCORE, 0.0, 1.0, np.zeros(2, np.float32))),
    ("take", TypeError, lambda: (np.ones((3, 2)), ONE, np.zeros((1, 2), np.float32))),
    ("take", ValueError, lambda: (np.ones((3, 2)), ONE, np.zeros((1, 3)))),
    ("platt", ValueError, lambda: (SCORE, 1.0, 0.0, np.zeros(2, np.float32))),
    ("blend", ValueError, lambda: (np.ones((1, 2), np.float32), np.ones(2), np.ones(2), np.ones(1), np.zeros(1))),
    ("echoed", ValueError, lambda: (*NO_TABLE, ONE, SCORE, SCORE[:0], ONE, 5, 1.0, np.zeros((1, 2), np.float32))),
    ("echoed", ValueError, lambda: (*NO_TABLE, ONE, SCORE, SCORE, ONE, 5, 1.0, np.zeros((1, 3), np.float32))),
    ("gaps", ValueError, lambda: (np.ones(2), 1.0, np.ones(1), np.zeros(1, np.int64))),
]


@pytest.mark.parametrize(("name", "error", "arguments"), WRONG)
def test_native_kernels_check_what_they_are_given(
    name: str, error: type[Exception], arguments: Callable[[], tuple[object, ...]]
) -> None:
    with pytest.raises(error):
        getattr(kernels, name)(*arguments())


def test_arrays_that_may_not_be_written_are_refused() -> None:
    frozen = np.zeros(1, np.float32)
    frozen.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        kernels.scaled(SCORE, 0.0, 1.0, frozen)


def test_a_corrupt_table_is_refused() -> None:
    broken = np.asarray([0, 9], np.int64), np.asarray([0], np.int32), SCORE
    with pytest.raises(IndexError, match="entries 0 to 9 of 1"):
        kernels.neighbours(*broken, ONE, SCORE, None, NO_ROWS, ONE.copy(), SCORE.copy(), ONE.copy(), SCORE.copy())
    with pytest.raises(IndexError, match="entries 0 to 9 of 1"):
        kernels.echoed(*broken, ONE * 0, SCORE, SCORE, ONE, 10, 1.0, np.zeros((1, 2), np.float32))
