"""The ranker reads in service what it read in training: the learning side's own slates against the batch's inputs."""

import numpy as np
import pytest

from app.batch.bulk import Bulk, Question
from app.batch.replay import Replay, Timeline
from app.pipeline.user import before
from model.data.log import TRAIN, Log
from model.features.counters import ItemCounters
from model.features.ranking import ArrayItems, Inputs, Moment, candidate_feature_names
from model.train.moments import Moments
from model.train.slates import Draw, Knowledge, SlateBuilder, Slates
from tests.bundles import random_log
from tests.pipelines import COLD, ITEMS, USERS, sealed, shared_engine

SIZE = 400


def training_log() -> Log:
    """The log that the bundle was made from, as training holds it."""
    made = random_log(ITEMS - COLD, USERS - 1, SIZE, np.random.default_rng(0))
    none = np.zeros((SIZE, 0))
    return Log(
        made.users, made.items, made.types, made.values, made.times, np.arange(SIZE),
        none.astype(np.int64), none.astype(np.float32), np.full(SIZE, TRAIN, np.int8),
    )  # fmt: skip


LOG = training_log()
ROWS = np.arange(3, SIZE, 7)


@pytest.fixture(scope="module")
def slates() -> Slates:
    """Slates of some of the log's rows, with the user vectors of the exported tower."""
    bundle = sealed()
    array, spec = bundle.array, bundle.spec
    items = ArrayItems(array("item_features/vectors.npy"), array("item_features/attributes.npy"))
    tables = {one.name: bundle.neighbours(one.name) for one in spec.channels if one.kind == "neighbours"}
    known = Knowledge(tables, None, LOG, items, np.ones(ITEMS, np.bool_))
    context, profile = np.zeros((SIZE, 2), np.int64), array("user_features/profile.npy")
    builder = SlateBuilder(spec, Moments(spec, LOG, USERS), context, profile, Draw(20, 5))
    vectors = [
        shared_engine().networks.user_vector(moment(row), shared_engine().catalogue.view) for row in ROWS.tolist()
    ]
    return builder.build(ROWS, np.stack(vectors), known, np.random.default_rng(1))


def moment(row: int) -> Moment:
    bundle, user = sealed(), int(LOG.user[row])
    mine = bundle.user_history(user)
    now = float(LOG.time[row])
    profile = bundle.array("user_features/profile.npy")[user]
    return Moment(before(mine, now), profile, np.zeros(2, np.int64), now)


def test_candidate_and_user_features_are_the_same(slates: Slates) -> None:
    replay = Replay(
        ItemCounters.empty(ITEMS, 3, sealed().spec.half_lives), Timeline(LOG.item, LOG.type, LOG.value, LOG.time)
    )
    bulk = Bulk(shared_engine(), replay.counters)
    echoes = [name.endswith((":echo", ":heard")) for name in candidate_feature_names(sealed().spec)]
    assert slates.features[..., echoes].any(axis=(0, 1)).all()
    for place, row in enumerate(ROWS.tolist()):
        candidates = slates.candidates[place][slates.candidates[place] >= 0]
        replay.until(float(LOG.time[row]))
        inputs = bulk.inputs(Question(moment(row), candidates), slates.user_vector[place])
        mine = slates.features[place, : len(candidates)]
        np.testing.assert_allclose(inputs["candidate_features"][0], mine, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(inputs["user_features"][0], slates.user_features[place], rtol=1e-6)
        size = inputs["history_types"].shape[1]  # training pads on the left, serving does not pad
        if len(moment(row).history):
            assert inputs["history_types"][0].tolist() == slates.types[place, -size:].tolist()
            assert inputs["history_gaps"][0].tolist() == slates.gaps[place, -size:].tolist()
            np.testing.assert_allclose(inputs["history_values"][0], slates.values[place, -size:])
        assert not slates.types[place, :-size].any()


def test_the_same_histories_make_the_same_user_vectors() -> None:
    """The tower reads what training's windows hold, whichever side padded."""
    windows = Moments(sealed().spec, LOG, USERS).windows(ROWS, sealed().spec.history_length)
    vectors = sealed().array("item_features/vectors.npy")
    rows = windows.rows
    inputs: Inputs = {
        "history_vectors": np.where(rows[..., None] >= 0, vectors[np.maximum(rows, 0)], 0).astype(np.float32),
        "history_types": windows.types,
        "history_values": windows.values,
        "history_gaps": windows.gaps,
        "profile": sealed().array("user_features/profile.npy")[LOG.user[ROWS]].astype(np.int64),
        "context": np.zeros((len(ROWS), 2), np.int64),
    }
    engine = shared_engine()
    (padded,) = engine.networks.tower.run(["user_vector"], inputs)
    alone = [engine.networks.user_vector(moment(row), engine.catalogue.view) for row in ROWS.tolist()]
    np.testing.assert_allclose(padded, np.stack(alone), atol=2e-5)
