"""Fitting the lexical half of texts on a catalogue."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from model.features.lexical import BUCKETS, Lexicon, counts

# Length of the lexical half against the encoder's 1: by validation on films played cold (docs/quality.md).
LENGTH = 0.5


def fit_lexicon(texts: Sequence[str], vectors: NDArray[np.float32], dim: int) -> Lexicon | None:
    """The lexicon of a catalogue's texts, with at most `dim` numbers a text; None without texts or with dim 0.

    vectors float32 [N, W] are what the encoder makes of them. Each different text counts once.
    """
    row_of = {text: row for row, text in enumerate(texts) if text}
    told = sorted(row_of)
    tf = term_matrix(told)
    width = min(dim, len(told) - 1, len(np.unique(tf.indices)) - 1)
    if width < 1:
        return None
    holders = np.bincount(tf.indices, minlength=BUCKETS)
    idf = (np.log((1 + len(told)) / (1 + holders)) + 1).astype(np.float32)
    basis = LENGTH * directions(unit_rows(sp.csr_matrix(tf @ sp.diags(idf))), width)
    centre = vectors[[row_of[text] for text in told]].mean(0, dtype=np.float64)
    return Lexicon(idf, basis.astype(np.float16), centre.astype(np.float32))


def term_matrix(texts: Sequence[str]) -> sp.csr_matrix:
    """Texts × buckets, the counts of `model.features.lexical`."""
    parts = [counts(text) for text in texts]
    indptr = np.cumsum([0, *(len(buckets) for buckets, _ in parts)])
    buckets, weights = zip(*parts, strict=True) if parts else ((np.empty(0, np.int64),), (np.empty(0, np.float32),))
    return sp.csr_matrix((np.concatenate(weights), np.concatenate(buckets), indptr), shape=(len(texts), BUCKETS))


def unit_rows(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The matrix with rows of length 1."""
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    return sp.csr_matrix(sp.diags(1.0 / np.maximum(length, 1e-9)) @ matrix)


def directions(matrix: sp.csr_matrix, width: int) -> NDArray[np.float64]:
    """The first right singular vectors as columns [BUCKETS, width], each with its largest entry positive.

    Only buckets that hold something take part, so that the start of the iteration is that of the texts, not of BUCKETS.
    """
    used = np.unique(matrix.indices)
    start = np.random.default_rng(0).standard_normal(min(matrix.shape[0], len(used)))
    _, strength, right = svds(matrix[:, used].astype(np.float64), k=width, v0=start)
    right = right[np.argsort(-strength)]
    largest = np.take_along_axis(right, np.abs(right).argmax(1, keepdims=True), axis=1)
    found = np.zeros((BUCKETS, width))
    found[used] = (right * np.sign(largest)).T
    return found
