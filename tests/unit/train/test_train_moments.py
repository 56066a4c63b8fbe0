"""Windows of a log: what was known strictly before each row, as serving would read it."""

import numpy as np

from model.features.ranking import ArrayItems, Moment, user_tower_inputs
from model.features.spec import ChannelSpec, FeatureSpec, TaskSpec
from model.train.moments import PAD, Moments
from tests.logs import make_log

SPEC = FeatureSpec(
    event_types=("rating",),
    tasks=(TaskSpec(name="interest", kind="binary"),),
    dim=4,
    max_profile=1,
    history_length=3,
    value_low=1,
    value_high=5,
    channels=(ChannelSpec(name="tower", kind="tower"),),
)
LOG = make_log(
    user=[0, 1, 0, 0, 1, 0],
    item=[5, 6, 7, 8, 9, 4],
    time=[0.0, 5.0, 60.0, 61.0, 70.0, 9000.0],
    value=[1, 5, 3, 5, 1, 2],
)


def test_windows_hold_what_the_user_did_before_left_padded() -> None:
    moments = Moments(SPEC, LOG, 2)
    windows = moments.windows(np.arange(6), 3)
    assert windows.rows.tolist() == [
        [PAD, PAD, PAD], [PAD, PAD, PAD], [PAD, PAD, 5], [PAD, 5, 7], [PAD, PAD, 6], [5, 7, 8],
    ]  # fmt: skip
    assert (windows.types == (windows.rows != PAD)).all()


def test_windows_equal_what_the_service_makes_of_the_same_moment() -> None:
    moments = Moments(SPEC, LOG, 2)
    vectors = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    items = ArrayItems(vectors, np.zeros((10, 1), np.int32))
    for row in (2, 3, 4, 5):
        moment = Moment(moments.history(row), np.zeros(1, np.int32), np.zeros(1, np.int64), float(LOG.time[row]))
        served = user_tower_inputs(SPEC, moment, items)
        windows = moments.windows(np.asarray([row]), 3)
        real = windows.rows[0] != PAD
        np.testing.assert_array_equal(windows.types[:, real], served["history_types"])
        np.testing.assert_array_equal(windows.gaps[:, real], served["history_gaps"])
        np.testing.assert_allclose(windows.values[:, real], served["history_values"])
        np.testing.assert_allclose(vectors[windows.rows[:, real]], served["history_vectors"])


def test_a_hidden_moment_is_that_of_the_newest_event() -> None:
    moments = Moments(SPEC, LOG, 2, timed=False)
    np.testing.assert_array_equal(moments.now(np.arange(6)), [np.nan, np.nan, 0.0, 60.0, 5.0, 61.0])
    newest = moments.windows(np.asarray([5]), 3).gaps[0, -1]
    assert newest == SPEC.gap_ids(np.zeros(1))[0]


def test_history_is_everything_before_and_nothing_after() -> None:
    moments = Moments(SPEC, LOG, 2)
    assert moments.history(5).rows.tolist() == [5, 7, 8]
    assert len(moments.history(0)) == 0
