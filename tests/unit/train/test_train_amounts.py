"""Quality by how much is known: shortened histories are of a shorter log, figures of the right moments."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.features.spec import ChannelSpec, FeatureSpec, TaskSpec
from model.train.amounts import Told, by_item_events, by_known, class_names, event_class
from model.train.metrics import MISSED
from model.train.moments import PAD, Moments
from tests.logs import make_log

SPEC = FeatureSpec(
    event_types=("rating",), tasks=(TaskSpec(name="like", kind="binary"),), dim=4, max_attributes=1, max_profile=1,
    value_low=1, value_high=5, channels=(ChannelSpec(name="tower", kind="tower"),),
)  # fmt: skip
USERS, LENGTH = 50, 13
LOG = make_log(np.tile(np.arange(USERS), LENGTH), np.repeat(np.arange(LENGTH), USERS), value=np.full(650, 3.0))
LAST = np.arange(USERS * (LENGTH - 1), USERS * LENGTH)  # every user's last event: twelve are before it


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_shortened_history_is_that_of_a_log_which_begins_later(most: int, timed: bool) -> None:
    told = Told(Moments(SPEC, LOG, USERS, timed), LAST, np.full(USERS, most))
    late = LOG.take(slice(USERS * (LENGTH - 1 - most), None))
    shorter = Moments(SPEC, late, USERS, timed)
    rows, theirs = np.arange(USERS), np.arange(USERS) + USERS * most
    mine, expected = told.windows(rows, 4), shorter.windows(theirs, 4)
    for name in ("rows", "types", "values", "gaps"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(expected, name))
    np.testing.assert_array_equal(told.now(rows), shorter.now(theirs))
    for row in (0, 17):
        np.testing.assert_array_equal(told.history(row).rows, shorter.history(USERS * most + row).rows)


def test_nothing_told_is_an_empty_history_whose_items_are_still_had() -> None:
    told = Told(Moments(SPEC, LOG, USERS, timed=False), LAST, np.zeros(USERS, np.int64))
    assert len(told.history(3)) == 0
    assert (told.windows(np.arange(USERS), 4).rows == PAD).all()
    assert np.isnan(told.now(np.arange(USERS))).all()
    assert told.had(3).tolist() == list(range(LENGTH - 1))
    np.testing.assert_array_equal(told.log.item, LOG.item[LAST])


def lengths(moments: Moments, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """A system that puts the item first when it is told at least two events, and never else."""
    return np.asarray([0 if len(moments.history(int(row))) >= 2 else MISSED for row in rows], np.int64)


def test_every_number_told_is_asked_at_the_same_moments() -> None:
    found = by_known(Moments(SPEC, LOG, USERS), LAST, {"x": lengths}, np.random.default_rng(0))
    assert list(found) == ["0", "1", "2", "5", "10"]  # nobody has fifty events
    assert [one["x ndcg@10"] for one in found.values()] == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert {one["moments"] for one in found.values()} == {float(USERS)}


def test_too_few_moments_are_no_table() -> None:
    assert by_known(Moments(SPEC, LOG, USERS), LAST[:5], {"x": lengths}, np.random.default_rng(0)) == {}


def test_items_fall_into_the_class_their_name_says() -> None:
    counts = np.asarray([0, 1, 4, 5, 19, 20, 99, 100, 499, 500, 10**6])
    names = class_names()
    assert [names[place] for place in event_class(counts)] == [
        "0", "1–4", "1–4", "5–19", "5–19", "20–99", "20–99", "100–499", "100–499", "500+", "500+",
    ]  # fmt: skip


def test_figures_by_class_are_of_its_items_only() -> None:
    counts = np.asarray([0, 3, 50])
    taken, ranks = np.asarray([0, 2, 2, 2]), np.asarray([MISSED, 0, 20, 60])
    items = np.asarray([2, 2, 1])
    labels = np.asarray([1.0, 0.0, 1.0], np.float32)
    judged = {"like": (items, labels, np.asarray([0.9, 0.1, 0.0], np.float32))}
    found = by_item_events(counts, taken, {"x": ranks}, judged)
    assert found == {
        "0": {"moments": 1.0, "x recall@50": 0.0},
        "20–99": {"moments": 3.0, "x recall@50": pytest.approx(2 / 3), "auc like": 1.0},
    }
