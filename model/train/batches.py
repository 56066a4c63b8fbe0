"""From arrays to tensors: what the towers and the ranker read in training, with the names of the exported graphs."""

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.features.spec import FeatureSpec
from model.nn.model import MultiTaskModel
from model.train.arrays import Features
from model.train.moments import PAD, Moments, Windows
from model.train.slates import Slates

Batch: TypeAlias = dict[str, Tensor]


def gathered(vectors: Tensor, rows: NDArray[np.int64]) -> Tensor:
    """Vectors [..., D] of rows [...], zeros for PAD; gradients reach `vectors`."""
    places = torch.from_numpy(rows)
    return vectors[places.clamp(min=0)] * (places != PAD).unsqueeze(-1)


def history_inputs(windows: Windows, vectors: Tensor) -> Batch:
    """History inputs [S, L, …] of the user tower or the ranker; `vectors` are those of all items the windows hold."""
    return {
        "history_vectors": gathered(vectors, windows.rows),
        "history_types": torch.from_numpy(windows.types),
        "history_values": torch.from_numpy(windows.values),
        "history_gaps": torch.from_numpy(windows.gaps),
    }


def ranker_batch(slates: Slates, vectors: Tensor) -> Batch:
    """Inputs of the ranker for some slates."""
    windows = Windows(slates.rows, slates.types, slates.values, slates.gaps)
    return history_inputs(windows, vectors) | {
        "user_vector": torch.from_numpy(slates.user_vector),
        "profile": torch.from_numpy(slates.profile).long(),
        "context": torch.from_numpy(slates.context),
        "user_features": torch.from_numpy(slates.user_features),
        "candidate_vectors": gathered(vectors, slates.candidates),
        "candidate_features": torch.from_numpy(slates.features),
    }


@torch.no_grad()
def item_vectors(model: MultiTaskModel, features: Features, chunk: int = 8192) -> NDArray[np.float32]:
    """Vectors of the whole catalogue, float32 [N, D]."""
    model.eval()
    rows = np.arange(len(features))
    parts = [model.item_vectors(features.items(rows[at : at + chunk])) for at in range(0, len(rows), chunk)]
    return torch.cat(parts).numpy()


@torch.no_grad()
def user_vectors(
    model: MultiTaskModel,
    moments: Moments,
    rows: NDArray[np.int64],
    vectors: NDArray[np.float32],
    profile: NDArray[np.int32],
    context: NDArray[np.int64],
    chunk: int = 512,
) -> NDArray[np.float32]:
    """User vectors at the moments of the log's `rows`, float32 [S, D]; `vectors` [N, D] are the items'."""
    model.eval()
    table, made = torch.from_numpy(vectors), [np.empty((0, vectors.shape[1]), np.float32)]
    for at in range(0, len(rows), chunk):
        inputs = user_inputs(model.spec, moments, rows[at : at + chunk], table, profile, context)
        made.append(model.user_vectors(inputs).numpy())
    return np.concatenate(made)


def user_inputs(
    spec: FeatureSpec,
    moments: Moments,
    rows: NDArray[np.int64],
    vectors: Tensor,
    profile: NDArray[np.int32],
    context: NDArray[np.int64],
) -> Batch:
    """Inputs of the user tower at the moments of the log's `rows`."""
    return history_inputs(moments.windows(rows, spec.history_length), vectors) | {
        "profile": torch.from_numpy(profile[moments.log.user[rows]]).long(),
        "context": torch.from_numpy(context[rows]),
    }
