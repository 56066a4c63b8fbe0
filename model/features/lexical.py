"""The lexical half of a text: which words and pairs of words it holds, in a few numbers, by numpy alone.

TF-IDF over hashed terms, then a projection that training fits on the catalogue (latent semantic analysis, Deerwester et
al. 1990). Beside an encoder's vector it keeps what the encoder blurs: names, numbers, a series' own words. From the
encoder's vector it takes what all texts of a catalogue have in common, which makes the mean of a few texts lie near any
other (Mu & Viswanath 2018).
"""

import hashlib
import re
import unicodedata
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

BUCKETS = 1 << 14  # of hashed terms
FOLDER = "lexicon"
FILES = ("idf", "basis", "centre")
# A character of a script that is written without spaces is a word of its own; a pair of them is then often a real one.
ALONE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
TERM = re.compile(rf"[{ALONE}]|[^\W_{ALONE}]+")


def terms(text: str) -> list[str]:
    """Words of a text in lower case, compatibility forms made plain, then each two that follow each other."""
    words = TERM.findall(unicodedata.normalize("NFKC", text).casefold())
    return words + [f"{one} {other}" for one, other in pairwise(words)]


def counts(text: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Buckets of a text's terms, ascending, and 1 + log of how often each is there."""
    hashed = [zlib.crc32(term.encode("utf-8", "replace")) % BUCKETS for term in terms(text)]
    buckets, times = np.unique(np.asarray(hashed, np.int64), return_counts=True)
    return buckets, (1.0 + np.log(times)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """How rare each bucket's terms are, idf float32 [BUCKETS], what they add, basis float16 [BUCKETS, K], and the mean
    of the encoder's vectors, centre float32 [W]."""

    idf: NDArray[np.float32]
    basis: NDArray[np.float16]
    centre: NDArray[np.float32]

    @property
    def width(self) -> int:
        """K, the length of a text's lexical vector."""
        return len(self.basis[0])

    def vectors(self, texts: "Sequence[str]") -> NDArray[np.float32]:
        """Lexical vectors float32 [n, K], each made alone; short where few words are known, zero for "".

        Inner products come near those of the texts' TF-IDF vectors, times the square of the basis' length.
        """
        rows = [self._one(text) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.width), np.float32)

    def beside(self, vectors: NDArray[np.float32], texts: "Sequence[str]") -> NDArray[np.float32]:
        """An encoder's vectors [n, W], less their mean, with the lexical ones beside them, float32 [n, W + K].

        What has no text stays zero.
        """
        told = np.asarray([bool(text) for text in texts], np.float32)[:, None]
        return np.concatenate([vectors - told * self.centre, self.vectors(texts)], axis=1)

    def digest(self) -> str:
        """sha256 of what the vectors depend on, in hex."""
        return hashlib.sha256(b"".join(getattr(self, name).tobytes() for name in FILES)).hexdigest()

    def save(self, folder: Path) -> None:
        """Write the arrays as .npy files into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)

    def _one(self, text: str) -> NDArray[np.float32]:
        buckets, weights = counts(text)
        weights = weights * self.idf[buckets]
        length = np.float32(np.sqrt((weights * weights).sum())) or np.float32(1)
        made: NDArray[np.float32] = (weights / length) @ self.basis[buckets].astype(np.float32)
        return made
