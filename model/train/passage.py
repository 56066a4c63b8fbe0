"""One step of the towers: windows of some users' events, when they happened, and the items that are in play."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.train.batches import Batch, history_inputs
from model.train.moments import PAD, Windows


@dataclass(frozen=True, slots=True)
class Passage:
    """B windows of L events, left-padded, whose `rows` are places among the m items in play (PAD: none).

    users int64 [B] · profile int64 [B, P] · context int64 [B, L+1, X] in which each event happened (none known after
    the last) · vectors [m, D] with gradients to the item tower · log_q [m] of how often an item is in play, None when
    all always are.
    """

    users: NDArray[np.int64]
    windows: Windows
    profile: Tensor
    context: Tensor
    vectors: Tensor
    log_q: Tensor | None = None

    def inputs(self, windows: Windows | None = None) -> Batch:
        """What the user tower reads of `windows` (default: these ones)."""
        read = self.windows if windows is None else windows
        return history_inputs(read, self.vectors) | {"profile": self.profile, "context": self.context}

    def real(self) -> NDArray[np.bool_]:
        """Which places hold an event, [B, L]."""
        held: NDArray[np.bool_] = self.windows.rows != PAD
        return held

    def next_item(self, predicted: Tensor, places: NDArray[np.bool_]) -> Tensor:
        """Cross-entropy of the events at `places` (bool [B, L]) by user vectors [B, L, D] made without them."""
        logits = predicted[torch.from_numpy(places)] @ self.vectors.T
        if self.log_q is not None:
            logits = logits - self.log_q
        return torch.nn.functional.cross_entropy(logits, torch.from_numpy(self.windows.rows[places]))
