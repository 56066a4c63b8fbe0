"""A small net, its walk through ten items, and slates for it, for tests of learning."""

from collections.abc import Callable

import numpy as np
import torch

from model.config import Task, Training
from model.features.spec import AttributeSpec, ChannelSpec, FeatureSpec, TaskSpec
from model.nn.model import MultiTaskModel
from model.nn.settings import NetSettings
from model.train.arrays import Features
from model.train.moments import Moments
from model.train.passage import Passage
from model.train.slates import Slates
from model.train.tower import Step, TowerData, Watched, passage_of
from tests.logs import make_log

ITEMS, USERS, LENGTH = 10, 12, 8
SPEC = FeatureSpec(
    event_types=("view",),
    tasks=(TaskSpec(name="interest", kind="binary"), TaskSpec(name="like", kind="binary")),
    attributes=(AttributeSpec(name="half", kind="categorical", values=("low", "high"), offset=1),),
    dim=8,
    text_dim=3,
    graph_dim=4,
    max_attributes=1,
    max_profile=1,
    history_length=LENGTH,
    rank_history=4,
    channels=(ChannelSpec(name="tower", kind="tower"),),
)
TASKS = (
    Task(name="interest", kind="binary", label="event == 'view'", negatives=2),
    Task(name="like", kind="binary", label="value > 3"),
)
# each user walks round the circle of items: the next item is always the one after
WALK = make_log(
    user=np.repeat(np.arange(USERS), 15), item=np.concatenate([(np.arange(15) + user) % ITEMS for user in range(USERS)])
)
SETTINGS = Training(dim=8, heads=2, layers=1, dropout=0.0, item_dropout=0.2, batch=16, ranker_batch=8, patience=50)


def features() -> Features:
    rng = np.random.default_rng(0)
    return Features(
        np.arange(1, ITEMS + 1),
        rng.normal(size=(ITEMS, 3)).astype(np.float32),
        np.repeat([[1], [2]], ITEMS // 2, axis=0).astype(np.int32),
        np.arange(ITEMS),
        np.zeros((USERS, 1), np.int32),
    )


def net(spec: FeatureSpec = SPEC, items: int = ITEMS) -> MultiTaskModel:
    torch.manual_seed(0)
    return MultiTaskModel(
        spec, items, ITEMS, 1, NetSettings(heads=2, layers=1, dropout=0.0, n_experts=2, expert_width=8)
    )


def data() -> TowerData:
    known = np.arange(len(WALK)) % 15 < 13
    return TowerData(Moments(SPEC, WALK.take(known), USERS), np.zeros((int(known.sum()), 1), np.int64), features())


def watched(place: int) -> Watched:
    """The event at one place of every user's walk."""
    rows = np.flatnonzero(np.arange(len(WALK)) % 15 == place)
    return Watched(Moments(SPEC, WALK, USERS), np.zeros((len(WALK), 1), np.int64), rows)


def passage(model: MultiTaskModel, settings: Training = SETTINGS, users: int = USERS, end: int = 13) -> Passage:
    step = Step(np.arange(users), np.full(users, end))
    return passage_of(model, data(), settings, step, np.random.default_rng(0))


def recorder() -> tuple[list[dict[str, float]], Callable[[int, dict[str, float]], None]]:
    kept: list[dict[str, float]] = []
    return kept, lambda epoch, figures: kept.append({"epoch": epoch, **figures})


def slates(count: int = 40, seed: int = 0) -> Slates:
    """Slates of five candidates whose positive has the highest first feature; likes follow the second."""
    rng = np.random.default_rng(seed)
    width = len(net().ranker.candidate_norm.mean)
    features = rng.normal(size=(count, 5, width)).astype(np.float32)
    features[:, 0, 0] += 4.0
    labels = np.full((count, 5, 2), np.nan, np.float32)
    labels[:, 0, 0] = 1.0
    labels[:, 0, 1] = features[:, 0, 1] > 0
    return Slates(
        np.arange(count), np.zeros(count, np.int64), rng.integers(0, ITEMS, (count, 5)),
        np.tile(np.asarray([1, 2, 2, 3, 3], np.int8), (count, 1)), labels, features,
        rng.normal(size=(count, len(net().ranker.user_norm.mean))).astype(np.float32),
        rng.normal(size=(count, 8)).astype(np.float32), np.zeros((count, 1), np.int32), np.zeros((count, 1), np.int64),
        rng.integers(0, ITEMS, (count, 4)), np.ones((count, 4), np.int64), np.full((count, 4), 0.5, np.float32),
        np.zeros((count, 4), np.int64), np.ones(count, bool), np.ones(count, bool), np.zeros((count, 5), np.float32),
    )  # fmt: skip


VECTORS = np.random.default_rng(2).normal(size=(ITEMS, 8)).astype(np.float32)
