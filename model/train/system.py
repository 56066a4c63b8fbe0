"""A whole two-stage system as evaluation sees it: made of fresh networks or of a sealed bundle's graphs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.bundle import Bundle
from model.data.log import Log
from model.features.calibration import Calibration
from model.features.counters import ItemCounters
from model.features.neighbours import Neighbours
from model.features.ranking import ArrayItems
from model.features.spec import FeatureSpec
from model.train.batches import ranker_batch, user_inputs, user_vectors
from model.train.fit import Fitted
from model.train.moments import Moments
from model.train.rank import readings
from model.train.slates import Slates

Users = Callable[[Moments, NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class System:
    """What it takes to answer: tables, counters, arrays and two functions over the networks.

    users(moments, rows, context ids [n, X]) → [S, D] · rank(slates) → raw outputs [S, C, T] · `known`: the log it
    learned from · `temporal`: counters move on with the log.
    """

    spec: FeatureSpec
    tables: Mapping[str, Neighbours]
    counters: ItemCounters
    items: ArrayItems
    profile: NDArray[np.int32]
    calibration: Mapping[str, Calibration]
    known: Log
    temporal: bool
    users: Users
    rank: Callable[[Slates], NDArray[np.float32]]


def of_fitted(fitted: Fitted) -> System:
    """The system that was just fitted, over torch."""
    items, profile = fitted.items, fitted.features.profile

    def users(moments: Moments, rows: NDArray[np.int64], context: NDArray[np.int64]) -> NDArray[np.float32]:
        return user_vectors(fitted.model, moments, rows, items.vector, profile, context)

    def rank(slates: Slates) -> NDArray[np.float32]:
        return readings(fitted.model, slates, items.vector)

    return System(
        fitted.spec, fitted.tables, fitted.counters, items, profile, fitted.calibration, fitted.known,
        fitted.temporal, users, rank,
    )  # fmt: skip


def of_bundle(bundle: Bundle, known: Log, temporal: bool, threads: int = 1, chunk: int = 64) -> System:
    """The system in a sealed bundle, over ONNX Runtime; `known` is the part of the log that it learned from."""
    spec = bundle.spec
    vectors = np.array(bundle.array("item_features/vectors.npy"))  # a copy: torch wants arrays it may write to
    items = ArrayItems(vectors, np.asarray(bundle.array("item_features/attributes.npy")))
    profile = np.asarray(bundle.array("user_features/profile.npy"))
    tower, ranker = bundle.session("user_tower", threads), bundle.session("ranker", threads)
    table = torch.from_numpy(vectors)

    def users(moments: Moments, rows: NDArray[np.int64], context: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = [np.empty((0, spec.dim), np.float32)]
        for at in range(0, len(rows), chunk):
            batch = user_inputs(spec, moments, rows[at : at + chunk], table, profile, context)
            parts += tower.run(["user_vector"], {name: value.numpy() for name, value in batch.items()})
        return np.concatenate(parts)

    def rank(slates: Slates) -> NDArray[np.float32]:
        parts = [np.empty((0, slates.candidates.shape[1], len(spec.tasks)), np.float32)]
        for at in range(0, len(slates), chunk):
            batch = ranker_batch(slates.take(slice(at, at + chunk)), table)
            parts += ranker.run(["logits"], {name: value.numpy() for name, value in batch.items()})
        return np.concatenate(parts)

    tables = {one.name: bundle.neighbours(one.name) for one in spec.channels if one.kind == "neighbours"}
    return System(
        spec, tables, bundle.counters(), items, profile, bundle.manifest.calibration, known, temporal, users, rank
    )
