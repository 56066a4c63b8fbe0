"""Text vectors are made once for each text and kept by its hash."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.train.texts import cached_vectors, key_of


class Counting:
    """An encoder that tells a text's length and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        return np.asarray([[len(text), 1.0] for text in texts], np.float32)


def test_every_text_is_encoded_once_and_an_empty_one_never(tmp_path: Path) -> None:
    encode, cache = Counting(), tmp_path / "folder" / "texts.npz"
    found = cached_vectors(["aa", "", "b", "aa"], encode, 2, cache)
    np.testing.assert_array_equal(found, [[2, 1], [0, 0], [1, 1], [2, 1]])
    assert encode.asked == ["aa", "b"]
    again = cached_vectors(["b", "ccc", "aa"], encode, 2, cache)
    np.testing.assert_array_equal(again, [[1, 1], [3, 1], [2, 1]])
    assert encode.asked == ["aa", "b", "ccc"]
    assert [path.name for path in cache.parent.iterdir()] == ["texts.npz"]


def test_a_cache_of_another_width_is_made_again(tmp_path: Path) -> None:
    cache = tmp_path / "texts.npz"
    np.savez(cache, keys=np.asarray([key_of("aa")]), vectors=np.zeros((1, 5), np.float32))
    np.testing.assert_array_equal(cached_vectors(["aa"], Counting(), 2, cache), [[2, 1]])


def test_without_texts_nothing_is_written(tmp_path: Path) -> None:
    assert cached_vectors(["", ""], Counting(), 2, tmp_path / "texts.npz").tolist() == [[0, 0], [0, 0]]
    assert not list(tmp_path.iterdir())
