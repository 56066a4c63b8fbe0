"""Order by score, and variety where it is asked for."""

import numpy as np
from numpy.typing import NDArray

from app.pipeline.rerank import by_score, item_similarity, mmr, reordered
from model.features.ranking import ArrayItems

# Two comedies pointing one way, one western another: rows 0 and 1 are twins.
ITEMS = ArrayItems(
    np.asarray([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], np.float32),
    np.asarray([[1, 2], [1, 2], [3, 0], [0, 0]], np.int32),
)
ROWS = np.arange(3)
SCORES = np.asarray([0.9, 0.8, 0.1])


def test_ties_go_to_the_lower_row() -> None:
    scores = np.asarray([0.5, 0.5, 0.9, 0.1, 0.5])
    assert by_score(scores, 5).tolist() == [2, 0, 1, 4, 3]
    assert by_score(scores, 2).tolist() == [2, 0]
    assert by_score(scores, 0).tolist() == []


def test_without_diversity_the_order_is_by_score_and_nothing_is_compared() -> None:
    compared: list[int] = []

    def similarity(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        compared.extend(rows)
        return item_similarity(ITEMS, rows)

    assert reordered(ROWS, SCORES, 2, 0.0, similarity).tolist() == [0, 1]
    assert not compared


def test_diversity_puts_the_other_kind_before_the_twin() -> None:
    assert reordered(ROWS, SCORES, 3, 0.9, lambda rows: item_similarity(ITEMS, rows)).tolist() == [0, 2, 1]
    assert reordered(ROWS, SCORES, 3, 0.1, lambda rows: item_similarity(ITEMS, rows)).tolist() == [0, 1, 2]


def test_full_diversity_still_starts_with_the_best() -> None:
    alike = np.ones((3, 3), np.float32)
    assert mmr(SCORES, alike, 3, 1.0).tolist() == [0, 1, 2]


def test_no_candidates_no_order() -> None:
    none = np.empty(0)
    assert len(mmr(none, np.empty((0, 0), np.float32), 5, 0.5)) == 0


def test_similarity_is_the_mean_of_cosine_and_overlap() -> None:
    found = item_similarity(ITEMS, np.arange(4))
    np.testing.assert_allclose(found[0], [1.0, 1.0, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(found[3], [0.0, 0.0, 0.0, 0.0], atol=1e-6)
    half = ArrayItems(ITEMS.vector, np.asarray([[1, 2], [1, 0], [3, 0], [0, 0]], np.int32))
    np.testing.assert_allclose(item_similarity(half, np.arange(2))[0, 1], 0.75)


def test_without_attributes_similarity_is_the_cosine() -> None:
    bare = ArrayItems(ITEMS.vector, np.zeros((4, 1), np.int32))
    np.testing.assert_allclose(item_similarity(bare, np.arange(3))[0], [1.0, 1.0, 0.0], atol=1e-6)
