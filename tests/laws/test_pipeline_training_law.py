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


MADE = random_log(ITEMS - COLD, USERS - 1, SIZE, np.random.default_rng(0))  # the log that the bundle was made from


def training_log() -> Log:
    """The bundle's log as training holds it."""
    made = MADE
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
    known = Knowledge(tables, None, LOG, items, np.ones(ITEMS, np.bool_), bundle.counters().contexts)
    moments = Moments(spec, LOG, USERS, contexts=MADE.contexts)
    builder = SlateBuilder(spec, moments, MADE.contexts, array("user_features/profile.npy"), Draw(20, 5))
    vectors = [
        shared_engine().networks.user_vector(moment(row), shared_engine().catalogue.view) for row in ROWS.tolist()
    ]
    return builder.build(ROWS, np.stack(vectors), known, np.random.default_rng(1))


def moment(row: int) -> Moment:
    bundle, user = sealed(), int(LOG.user[row])
    mine = bundle.user_history(user)
    now = float(LOG.time[row])
    profile = bundle.array("user_features/profile.npy")[user]
    return Moment(before(mine, now), profile, MADE.contexts[row], now)


def test_candidate_and_user_features_are_the_same(slates: Slates) -> None:
    replay = Replay(
        ItemCounters.empty(ITEMS, 3, sealed().spec.half_lives), Timeline(LOG.item, LOG.type, LOG.value, LOG.time)
    )
    replay.counters.contexts = sealed().counters().contexts
    bulk = Bulk(shared_engine(), replay.counters)
    names = candidate_feature_names(sealed().spec)
    told = [name.endswith((":echo", ":heard")) or "context:" in name for name in names]
    assert slates.features[..., told].any(axis=(0, 1)).all()
    rank = names.index("tower:rank")  # two items a rounding apart may change places
    for place, row in enumerate(ROWS.tolist()):
        candidates = slates.candidates[place][slates.candidates[place] >= 0]
        replay.until(float(LOG.time[row]))
        inputs = bulk.inputs(Question(moment(row), candidates), slates.user_vector[place])
        mine = slates.features[place, : len(candidates)]
        found = inputs["candidate_features"][0]
        np.testing.assert_allclose(np.delete(found, rank, 1), np.delete(mine, rank, 1), rtol=1e-4, atol=1e-5)
        assert (np.abs(found[:, rank] - mine[:, rank]) > 1e-5).sum() <= 2
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
        "context": MADE.contexts[ROWS],
    }
    engine = shared_engine()
    (padded,) = engine.networks.tower.run(["user_vector"], inputs)
    alone = [engine.networks.user_vector(moment(row), engine.catalogue.view) for row in ROWS.tolist()]
    np.testing.assert_allclose(padded, np.stack(alone), atol=2e-5)
