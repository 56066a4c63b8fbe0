"""ranker_loop.npy: a ranker's weights as the native loop reads them (model/features/fused.py)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.features.fused import LOOP
from model.nn.experts import Bank, MMoE
from model.nn.layers import PiecewiseLinear
from model.nn.ranker import Ranker


def fusable(ranker: Ranker) -> bool:
    """Whether the native loop knows this ranker: one of all tasks, with experts shared by all and mixed for each."""
    return type(ranker) is Ranker and isinstance(ranker.experts, MMoE)


def export_loop(ranker: Ranker, folder: Path) -> None:
    """Write ranker_loop.npy into `folder`: the sizes of `_ranker.h`, then its weights, float32 [n]."""
    with torch.no_grad():
        parts = [torch.tensor(_sizes(ranker), dtype=torch.float32), *_of_candidates(ranker), *_of_user(ranker)]
        np.save(folder / LOOP, torch.cat([one.reshape(-1) for one in parts]).numpy())


def _sizes(ranker: Ranker) -> list[int]:
    """`Sizes` of _ranker.h, in order."""
    attention, experts, heads, moment = ranker.attention, ranker.experts.second, ranker.heads, ranker.moment
    assert isinstance(experts, Bank)
    dim, ranges = attention.norm.normalized_shape[0], PiecewiseLinear.BINS
    of_candidates = [dim, attention.heads, attention.value.out_features // attention.heads]
    of_candidates += [len(ranker.candidate_norm.mean), *experts.weight.shape]
    of_candidates += [*heads.stacked()[2].shape, ranker.values.most]
    tables = (moment.profile.table, moment.context)
    of_user = [len(ranker.user_norm.mean), ranges, ranker.query.in_features]
    of_user += [*(one.num_embeddings for one in tables), ranker.profile, len(moment.offsets)]
    events = (attention.events.kind, attention.events.gap, attention.distance)
    return [*of_candidates, *of_user, *(one.num_embeddings for one in events)]


def _of_candidates(ranker: Ranker) -> list[Tensor]:
    """What every candidate meets."""
    first, second, values = ranker.first.weights(), ranker.experts.second, ranker.values
    assert isinstance(second, Bank)
    chain = [list(link) for link in ranker.chains.items()]
    chain += [[-1, -1]] * (len(ranker.heads.keys) - len(chain))
    made = [first.of_candidate, first.of_cross, first.of_each, second.weight.transpose(1, 2), second.bias]
    made += [*ranker.heads.stacked(), ranker.candidate_norm.mean, ranker.candidate_norm.inverse]
    return [*made, *values.stairs(), values.linear, values.low, torch.tensor(chain, dtype=torch.float32)]


def _of_user(ranker: Ranker) -> list[Tensor]:
    """What is read once a request. Parts that are switched off have weight 0."""
    attention, moment, first, state = ranker.attention, ranker.moment, ranker.first.weights(), ranker.state[0]
    assert isinstance(state, torch.nn.Linear)
    norms = [ranker.user_norm.mean, ranker.user_norm.inverse, ranker.user_ranges.start, ranker.user_ranges.inverse]
    told = [moment.profile.table.weight, moment.context.weight * moment.use_context, moment.offsets.float()]
    layers = [state.weight, state.bias, ranker.query.weight, ranker.query.bias, first.of_user, first.bias]
    events = attention.events
    made = [events.kind.weight, events.value.weight, events.gap.weight, attention.norm.weight, attention.norm.bias]
    made += [torch.tensor(attention.norm.eps), attention.nothing, attention.key.weight, attention.key.bias]
    made += [one * ranker.sequence for one in (attention.value.weight, attention.value.bias)]
    return [*norms, *told, *layers, *made, attention.distance.weight]
