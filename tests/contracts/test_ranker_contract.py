"""What a ranker owes the pipeline: one finite reading a task for each candidate, whatever stands beside it.

Tolerances are those of float32 sums whose blocks depend on how many candidates there are.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.pipeline.channels import ChannelRequest
from app.pipeline.engine import Engine
from tests.pipelines import channel_request, make_engine, put, shared_engine

ROWS = np.arange(60)


def values(rows: NDArray[np.int64], user_id: str = "u1", engine: Engine | None = None) -> NDArray[np.float32]:
    engine = engine or shared_engine()
    request: ChannelRequest = channel_request(engine, user_id)
    inputs = engine.inputs(request, rows, engine.evidence([request])[0])
    found: NDArray[np.float32] = engine.networks.values(inputs)[0]
    return found


@pytest.mark.parametrize("user_id", ["u1", "u19", "nobody-knows"])
def test_one_reading_a_task_for_each_candidate(user_id: str) -> None:
    found = values(ROWS, user_id)
    assert found.shape == (60, 3)
    assert np.isfinite(found).all()
    assert ((found[:, :2] > 0) & (found[:, :2] < 1)).all()


def test_the_order_of_candidates_changes_nothing() -> None:
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_allclose(values(order), values(ROWS)[order], atol=2e-5)


def test_other_candidates_change_nothing() -> None:
    np.testing.assert_allclose(values(ROWS[7:8]), values(ROWS)[7:8], atol=2e-5)


def test_users_differ() -> None:
    assert not np.allclose(values(ROWS, "u1"), values(ROWS, "u2"))


def test_a_new_item_has_readings() -> None:
    engine = make_engine()
    row = put(engine, "new")
    engine.live.cover(engine.catalogue.view)
    assert np.isfinite(values(np.asarray([row]), engine=engine)).all()


def test_calibration_is_the_manifests() -> None:
    logits = np.asarray([[0.0, 0.0, 2.5], [1.0, 1.0, 4.0]], np.float32)
    found = shared_engine().networks.calibrated(logits)
    np.testing.assert_allclose(found[:, 0], [0.5, 1 / (1 + np.exp(-1.0))], rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], [1 / (1 + np.exp(0.5)), 1 / (1 + np.exp(-0.7))], rtol=1e-6)
    np.testing.assert_allclose(found[:, 2], [2.5, 4.0])
