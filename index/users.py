"""The users a bundle was trained on, by vector: who is like whom, and whom an item suits."""

import numpy as np
from numpy.typing import NDArray

from index.backends import Mask, open_index
from index.search import search_allowed
from index.similar import cosines
from model.bundle import Bundle
from model.features.neighbours import Evidence

CANDIDATES = 1_000  # nearest by inner product, put in order by cosine


class UserIndex:
    """Search over users.faiss; rows are those of `bundle.users`."""

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        self._vectors: NDArray[np.float32] = bundle.array("user_features/vectors.npy")
        self._index = open_index(bundle.path / "users.faiss", self._vectors, device)

    def __len__(self) -> int:
        return len(self._vectors)

    def search(self, vector: NDArray[np.float32], k: int, allowed: Mask | None = None) -> Evidence:
        """The k users of highest inner product with an item (or user) vector [D], among `allowed` (bool [users])."""
        return search_allowed(self._index, self._vectors, vector, k, allowed)

    def similar(self, vector: NDArray[np.float32], k: int, allowed: Mask | None = None) -> Evidence:
        """The k users of highest cosine with a user's vector [D], best first; pass a mask without that user."""
        unit = vector / max(float(np.linalg.norm(vector)), 1e-9)
        near = self.search(unit, max(k, CANDIDATES), allowed).rows
        return Evidence.best(near, cosines(self._vectors.take(near, axis=0), unit), k)
