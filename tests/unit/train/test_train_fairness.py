"""Exposure by popularity and gaps between groups, on numbers that can be counted by hand."""

import numpy as np
import pytest

from model.features.spec import AttributeSpec
from model.train.fairness import exposure_by_popularity, group_figures, group_gaps, groups_of, largest_gap
from model.train.metrics import MISSED

GENDER = AttributeSpec(name="gender", kind="categorical", values=("F", "M", "X"), offset=1)
AGE = AttributeSpec(name="age", kind="numeric", edges=(18.0, 40.5), offset=4)
USERS = np.repeat(np.arange(20), 5)
PROFILE = np.stack([np.where(np.arange(20) < 10, 1, 2), np.full(20, 5)], axis=1).astype(np.int32)


def test_shares_of_the_tenths_are_whole_and_the_first_is_the_most_popular() -> None:
    counts = np.arange(40)
    shown = np.where(counts >= 36, 5, 0)
    found = exposure_by_popularity(counts, shown, np.ones(40, np.int64))
    assert list(found) == [str(tenth) for tenth in range(1, 11)]
    assert found["1"]["recommendations"] == 1.0
    assert found["1"]["past events"] == pytest.approx((39 + 38 + 37 + 36) / counts.sum())
    for name in ("recommendations", "past events", "taken"):
        assert sum(one[name] for one in found.values()) == pytest.approx(1.0)
    assert sum(one["items"] for one in found.values()) == 40


def test_nothing_shown_is_no_exposure() -> None:
    found = exposure_by_popularity(np.ones(20, np.int64), np.zeros(20, np.int64), np.ones(20, np.int64))
    assert {one["recommendations"] for one in found.values()} == {0.0}


def test_ranges_are_named_as_they_are_cut() -> None:
    assert list(groups_of(AGE)) == [("below 18", 4), ("18 to below 40.5", 5), ("40.5 and above", 6)]
    assert list(groups_of(AttributeSpec(name="n", kind="numeric", offset=7))) == [("known", 7)]
    assert list(groups_of(GENDER)) == [("F", 1), ("M", 2), ("X", 3)]


def test_a_group_has_the_figures_of_its_own_moments() -> None:
    ranks = np.where(USERS < 10, 0, MISSED)
    found = group_figures(GENDER, PROFILE, USERS, ranks)
    assert found == {
        "F": {"ndcg@10": 1.0, "hr@10": 1.0, "moments": 50.0, "users": 10.0},
        "M": {"ndcg@10": 0.0, "hr@10": 0.0, "moments": 50.0, "users": 10.0},
    }


def test_small_groups_are_left_out() -> None:
    few_moments = group_figures(GENDER, PROFILE, USERS[:30], np.zeros(30, np.int64))
    assert list(few_moments) == ["F"]
    assert not group_figures(GENDER, PROFILE, np.zeros(60, np.int64), np.zeros(60, np.int64))  # one user is no group


def test_a_gap_names_both_ends_and_knows_when_it_is_sure() -> None:
    ranks = np.where(USERS < 10, 0, MISSED)
    groups, gaps = group_gaps([GENDER, AGE], PROFILE, USERS, ranks, np.random.default_rng(0))
    assert list(groups) == ["gender", "age"]
    assert gaps == {"gender": {"best": "F", "worst": "M", "difference": 1.0, "low": 1.0, "high": 1.0}}


def test_a_gap_that_rests_on_one_user_is_not_sure() -> None:
    """All hits of the better group are one user's: when users are drawn again, the gap may vanish."""
    ranks = np.where(USERS == 0, 0, MISSED)
    figures = group_figures(GENDER, PROFILE, USERS, ranks)
    gap = largest_gap(GENDER, figures, PROFILE, USERS, ranks, np.random.default_rng(0))
    assert gap is not None
    best, _, found = gap
    assert best == "F"
    assert found.value == pytest.approx(0.1)
    assert found.low <= 0.0 < found.high
