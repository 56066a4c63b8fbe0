"""One sealed random bundle and engines over it, for everything about the path of a request."""

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.pipeline.allowed import Allowed
from app.pipeline.channels import ChannelRequest
from app.pipeline.engine import Engine
from app.pipeline.ranked import Ranked
from app.pipeline.request import RecommendRequest
from app.pipeline.settings import EngineSettings
from app.pipeline.user import UserInput
from index.build import seal
from index.catalogue import LiveCatalogue
from index.encode import ItemEncoder
from model.bundle import Bundle, open_bundle
from model.events import History
from model.features.ranking import Moment
from model.features.records import ItemRecord
from tests.bundles import START, make_bundle

NOW = START + 31 * 86400  # a day after the newest event
ITEMS, USERS, COLD = 60, 20, 5


@cache
def sealed_path() -> Path:
    """A sealed bundle of 60 items and 20 users (u19 has no history), made once a test process; never write into it."""
    folder = Path(tempfile.mkdtemp(prefix="polyrank-pipeline-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = make_bundle(folder, items=ITEMS, users=USERS, cold=COLD)
    seal(path)
    return path


@cache
def sealed() -> Bundle:
    """The bundle of `sealed_path`, opened."""
    return open_bundle(sealed_path())


def make_engine(**settings: Any) -> Engine:
    """A fresh engine over the bundle, with its own catalogue and counters."""
    bundle = sealed()
    return Engine(bundle, LiveCatalogue(bundle), settings=replace(EngineSettings.of_bundle(bundle), **settings))


@cache
def shared_engine() -> Engine:
    """An engine for tests that change nothing."""
    return make_engine()


def recommend(engine: Engine, user_id: str | None = "u1", **asked: Any) -> Ranked:
    """The engine's list for a user that only the bundle knows, at a fixed moment."""
    request = RecommendRequest(**{"user_id": user_id, "now": NOW, **asked})
    return engine.recommend(UserInput(user_id), request)


def put(engine: Engine, item_id: str, title: str = "a wild storm", **attributes: Any) -> int:
    """Add or replace an item as the service does; its row."""
    record = ItemRecord({"title": title}, attributes)
    texts, ids, vectors = ItemEncoder(engine.bundle).encode([record])
    return engine.catalogue.put(item_id, record, vectors[0], ids[0], texts[0])


def seen_of(user_id: str) -> set[str]:
    """Ids of all items in the bundle's history of a user."""
    bundle = sealed()
    return {bundle.items.id(row) for row in bundle.user_history(bundle.users.row(user_id)).rows.tolist()}


def moment_of(user_id: str, now: float = NOW) -> Moment:
    """A user of the bundle at a moment, context unknown."""
    bundle, row = sealed(), sealed().users.row(user_id)
    history = History.of() if row < 0 else bundle.user_history(row)
    profile = bundle.spec.profile_ids({}) if row < 0 else bundle.array("user_features/profile.npy")[row]
    return Moment(history, profile, bundle.spec.context_ids({}), now)


def channel_request(engine: Engine, user_id: str = "u1", mask: NDArray[np.bool_] | None = None) -> ChannelRequest:
    """What a channel is asked for one of the bundle's users; `mask` bool [rows] limits the rows, seen ones are out."""
    moment, view = moment_of(user_id), engine.catalogue.view
    vector = engine.networks.user_vector(moment, view)
    allowed = Allowed(view, None if mask is None else view.visible & mask, np.unique(moment.history.rows))
    return ChannelRequest(moment, vector, allowed, {"device": "mobile"})
