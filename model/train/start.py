"""Where id embeddings start: a factorisation of who touched what, so that the towers do not learn it from nothing."""

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import svds
from torch import Tensor

from model.data.log import ByUser
from model.nn.towers import ItemTower
from model.train.channels import interaction_matrix

QUIET = 0.2  # untrained content weights are cut to this, or their noise would drown what the factorisation knows
PRIOR_EVENTS = 5.0  # pseudo-events that keep rare items' vectors short


def start_vectors(log: ByUser, items: int, dim: int) -> Tensor:
    """Item vectors [N, D] of mean squared length 1, from the SVD of the normalised users × items matrix."""
    x = interaction_matrix(log, items)
    by_user = 1 / np.sqrt(1 + np.asarray(x.sum(1)).ravel())
    by_item = 1 / np.sqrt(PRIOR_EVENTS + np.asarray(x.sum(0)).ravel())
    rank = min(dim, min(x.shape) - 1)
    if rank < 1:
        return torch.zeros(0, dim)
    _, values, vectors = svds(sp.diags(by_user) @ x @ sp.diags(by_item), k=rank, random_state=0)
    made = np.zeros((items, dim), np.float32)
    made[:, :rank] = vectors.T * np.sqrt(values)
    length = np.sqrt((made**2).sum(1).mean())
    return torch.from_numpy(made / max(length, 1e-9))


def start(tower: ItemTower, log: ByUser, items: int, dim: int) -> None:
    """Start the ids from the factorisation of `log`, and everything else of the item tower quietly."""
    tower.start_ids(start_vectors(log, items, dim))
    with torch.no_grad():
        for weight in (tower.read_text.weight, tower.read_graph.weight, tower.read_attributes.table.weight):
            weight.mul_(QUIET)
