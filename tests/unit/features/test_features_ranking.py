"""Ranker inputs: shapes, names, known values of channel columns, crosses and gaps, empty histories."""

import numpy as np
import pytest

from model.events import History
from model.features.counters import ItemCounters
from model.features.leanings import Leanings
from model.features.neighbours import PRIOR_ECHO, Evidence, Neighbours
from model.features.ranking import (
    ArrayItems,
    Judged,
    Moment,
    candidate_feature_names,
    ranker_batch,
    ranker_inputs,
    user_feature_names,
    user_tower_inputs,
)
from model.features.spec import AttributeSpec, ChannelSpec, FeatureSpec, TaskSpec

SPEC = FeatureSpec(
    event_types=("view", "rating"),
    tasks=(TaskSpec(name="interest", kind="binary", blend=1.0),),
    attributes=(AttributeSpec(name="genre", kind="categorical", values=("a", "b"), offset=1),),
    dim=4,
    max_attributes=1,
    max_profile=1,
    history_length=3,
    rank_history=2,
    value_low=1.0,
    value_high=5.0,
    valued=True,
    channels=(ChannelSpec(name="tower", kind="tower"), ChannelSpec(name="cooccurrence", kind="neighbours")),
)
RNG = np.random.default_rng(0)
ITEMS = ArrayItems(RNG.normal(size=(6, 4)).astype(np.float32), np.asarray([[1], [1], [2], [2], [0], [1]], np.int32))
COUNTERS = ItemCounters.empty(6, 2, SPEC.half_lives)
USER = np.ones(4, np.float32)
TABLES = {
    "cooccurrence": Neighbours.build(
        np.asarray([0, 0, 1, 1]), np.asarray([3, 4, 3, 5]), np.asarray([4.0, 2.0, 2.0, 1.0]), 6
    )
}


def moment(history: History, now: float = 100.0) -> Moment:
    return Moment(history, np.zeros(1, np.int32), np.zeros(1, np.int64), now)


def columns(history: History, candidates: list[int], evidence: dict[str, Evidence]) -> dict[str, list[float]]:
    rows = np.asarray(candidates, np.int64)
    made = ranker_inputs(SPEC, moment(history), USER, rows, evidence, ITEMS, COUNTERS, TABLES)["candidate_features"]
    return {name: made[0, :, place].tolist() for place, name in enumerate(candidate_feature_names(SPEC))}


HISTORY = History.of([0, 1, 2], [1, 2, 2], [np.nan, 5.0, 1.0], [10.0, 20.0, 90.0])


def test_shapes_follow_the_spec() -> None:
    made = ranker_inputs(SPEC, moment(HISTORY), USER, np.arange(5), {}, ITEMS, COUNTERS, TABLES)
    assert made["history_vectors"].shape == (1, 2, 4)
    assert made["candidate_vectors"].shape == (1, 5, 4)
    assert made["candidate_features"].shape == (1, 5, len(candidate_feature_names(SPEC)))
    assert made["user_features"].shape == (1, len(user_feature_names(SPEC)))
    assert {made[name].dtype.name for name in made} == {"float32", "int64"}


def test_scores_are_exact_whoever_offers_an_item_and_ranks_are_of_what_a_channel_offers() -> None:
    offered = Evidence(np.asarray([4]), np.asarray([2.0], np.float32), np.asarray([1, 3]), np.ones(2, np.float32))
    found = columns(HISTORY, [3, 4, 5], {"cooccurrence": offered})
    np.testing.assert_allclose(found["tower:score"], ITEMS.vector[[3, 4, 5]].sum(1), rtol=1e-5)
    np.testing.assert_allclose(found["cooccurrence:score"], np.log1p([1.0, 2.0, 0.0]), rtol=1e-6)
    np.testing.assert_allclose(found["cooccurrence:rank"], [0.0, 1.0, 0.0], rtol=1e-6)
    assert found["tower:rank"] == [0.0, 0.0, 0.0]


def test_crosses_meet_attributes_and_ids() -> None:
    found = columns(HISTORY, [5, 3, 4, 2], {})
    np.testing.assert_allclose(found["cross:attributes"], [2 / 3, 1 / 3, 0, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(found["cross:liking"], [0.5 / 3, -0.5 / 2, 0, -0.5 / 2], rtol=1e-6)
    assert found["cross:seen"] == [0, 0, 0, 1]
    assert found["cross:seen_last"] == [0, 0, 0, 1]


def test_what_is_met_more_often_counts_more() -> None:
    thrice, once = (History.of(rows, [1] * 3, [np.nan] * 3, [10.0, 20.0, 30.0]) for rows in ([2, 2, 2], [5, 2, 2]))
    assert columns(thrice, [2, 5, 3], {})["cross:seen"] == [2, 0, 0]
    assert columns(once, [2, 5, 3], {})["cross:seen"] == pytest.approx([np.log2(3), 1, 0])


def test_leanings_are_what_a_user_thinks_of_items_beside_what_others_do() -> None:
    counters = ItemCounters.empty(6, 2, SPEC.half_lives)
    for value, row in [(5.0, 0), (5.0, 0), (2.0, 1), (2.0, 1), (4.0, 2)]:
        counters.add(row, 2, 1.0, value)
    others = np.empty((3, 1), np.float32)
    counters.fill_values(np.arange(3), 1.0, 5.0, others)
    history = History.of([0, 1, 2], [2, 2, 1], [5.0, 5.0, np.nan], [10.0, 20.0, 90.0])
    found = Leanings.of(SPEC, history, counters)
    above = 1.0 - others[:2, 0]
    assert found.above == pytest.approx(above.sum() / 4)
    assert found.recently == pytest.approx((0.81 * above[0] + 0.9 * above[1]) / (0.81 + 0.9 + 2))
    np.testing.assert_allclose(found.own, [*(above - found.above), 0.0], rtol=1e-5)
    made = ranker_inputs(SPEC, moment(history), USER, np.arange(6), {}, ITEMS, counters, TABLES)
    named = dict(zip(user_feature_names(SPEC), made["user_features"][0].tolist(), strict=True))
    assert (named["history:above"], named["history:recently_above"]) == pytest.approx((found.above, found.recently))
    cross = dict(zip(candidate_feature_names(SPEC), made["candidate_features"][0].T, strict=True))
    liked = found.own @ ITEMS.vector[:3] / 3**0.5
    np.testing.assert_allclose(cross["cross:taste_liking"], ITEMS.vector @ liked, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(cross["cross:liking"][:2], found.own[:2].sum() / 3, rtol=1e-4)  # of genre a, by one more


def test_who_values_nothing_leans_nowhere() -> None:
    found = Leanings.of(SPEC, History.of([0, 1], [1, 1], [np.nan, np.nan], [1.0, 2.0]), COUNTERS)
    assert (found.above, found.recently, found.own.tolist()) == (0.0, 0.0, [0.0, 0.0])


def test_what_a_user_thinks_of_items_echoes_in_those_near_them() -> None:
    history = History.of([0, 1, 2], [2, 2, 1], [5.0, 1.0, np.nan], [10.0, 20.0, 90.0])
    own = Leanings.of(SPEC, history, COUNTERS).own
    found = columns(history, [3, 4, 5, 2], {})
    told = [own[0] + own[1], own[0] / 2, own[1] / 2, 0.0]
    whole = np.asarray([2.0, 0.5, 0.5, 0.0])
    np.testing.assert_allclose(found["cooccurrence:echo"], told / (whole + PRIOR_ECHO), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found["cooccurrence:heard"], np.log1p(whole), rtol=1e-5)


def test_nothing_echoes_where_there_are_no_values_and_without_a_table() -> None:
    untold = columns(History.of([0, 1], [1, 1], [np.nan, np.nan], [10.0, 20.0]), [3, 4], {})
    assert untold["cooccurrence:echo"] == untold["cooccurrence:heard"] == [0.0, 0.0]
    made = ranker_inputs(SPEC, moment(HISTORY), USER, np.arange(5), {}, ITEMS, COUNTERS, {})["candidate_features"]
    assert not made[..., -2:].any()
    silent = SPEC.model_copy(update={"valued": False})
    assert len(candidate_feature_names(SPEC)) - len(candidate_feature_names(silent)) == 2
    assert silent.digest() == FeatureSpec.model_validate(silent.model_dump(exclude={"valued"})).digest()


def test_gaps_run_to_the_next_event_and_to_now() -> None:
    made = user_tower_inputs(SPEC, moment(HISTORY), ITEMS)
    assert made["history_gaps"][0].tolist() == SPEC.gap_ids(np.asarray([10.0, 70.0, 10.0])).tolist()
    np.testing.assert_allclose(made["history_values"][0], [0.5, 1.0, 0.0])
    assert made["history_types"][0].tolist() == [1, 2, 2]


def test_an_empty_history_is_one_padded_event() -> None:
    made = ranker_inputs(SPEC, moment(History.of(), np.nan), USER, np.arange(2), {}, ITEMS, COUNTERS, TABLES)
    assert made["history_types"].tolist() == [[0]]
    assert made["history_vectors"].shape == (1, 1, 4)
    assert all(np.isfinite(values).all() for values in made.values())


def test_histories_join_and_cut() -> None:
    both = HISTORY.then(History.of([5], [1], [np.nan], [95.0]))
    assert both.rows.tolist() == [0, 1, 2, 5]
    assert both.last(2).rows.tolist() == [2, 5]
    assert len(History.of().last(3)) == 0


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found lengths \[1, 2\]"):
        History.of([1, 2], [1, 2], [1.0], [1.0, 2.0])


def test_users_that_are_read_together_read_what_they_read_alone() -> None:
    """Candidates are padded behind, histories in front by events of type 0."""
    histories = [HISTORY, History.of(), HISTORY.last(1)]
    lists = [np.asarray([3, 1]), np.asarray([0, 2, 4, 1]), np.empty(0, np.int64)]
    evidence = {"cooccurrence": Evidence(np.asarray([4, 1]), np.asarray([0.5, 0.25], np.float32))}
    told = [Judged(moment(one), USER, rows, evidence) for one, rows in zip(histories, lists, strict=True)]
    made = ranker_batch(SPEC, told, ITEMS, COUNTERS, TABLES)
    assert made["candidate_features"].shape[:2] == (3, 4)
    assert made["history_types"].shape == (3, SPEC.rank_history)
    for place, one in enumerate(told):
        alone = ranker_inputs(SPEC, *one, ITEMS, COUNTERS, TABLES)
        assert alone.keys() == made.keys()
        for name, array in alone.items():
            mine = made[name][place]
            if name.startswith("candidate_"):
                mine = mine[: len(one.candidates)]
            elif name.startswith("history_"):
                mine = mine[len(mine) - array.shape[1] :]
            np.testing.assert_array_equal(mine, array[0], name)
    assert not made["history_types"][1].any()
    assert not made["history_types"][2][:-1].any()
