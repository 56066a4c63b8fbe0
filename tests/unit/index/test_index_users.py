"""Search over the users of a bundle."""

from pathlib import Path

import numpy as np
import pytest

from index.build import seal
from index.users import UserIndex
from model.bundle import open_bundle
from tests.tiny_bundles import DIM, write_tiny


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> UserIndex:
    vectors = np.eye(4, DIM, dtype=np.float32) * np.asarray([[1], [5], [1], [1]], np.float32)
    path = write_tiny(tmp_path_factory.mktemp("bundles"), vectors=vectors, user_items=[[0], [0, 1], [1], []])
    seal(path)
    return UserIndex(open_bundle(path))


def test_whom_an_item_suits_is_by_inner_product(users: UserIndex) -> None:
    found = users.search(np.eye(1, DIM, 1, dtype=np.float32)[0], 2)
    assert found.rows.tolist() == [2, 1]
    np.testing.assert_allclose(found.scores, [5, 2.5])
    assert len(users) == 4


def test_who_is_alike_is_by_cosine_whatever_the_length(users: UserIndex) -> None:
    found = users.similar(np.asarray([0, 100] + [0] * 6, np.float32), 2)
    assert found.rows.tolist() == [2, 1]
    assert found.scores[0] == pytest.approx(1.0)


def test_a_mask_leaves_users_out(users: UserIndex) -> None:
    allowed = np.asarray([True, True, False, True])
    assert users.similar(np.eye(1, DIM, 1, dtype=np.float32)[0], 9, allowed).rows.tolist() == [1, 0, 3]


def test_a_bundle_without_users_finds_nobody(tmp_path: Path) -> None:
    path = write_tiny(tmp_path, user_items=[])
    seal(path)
    users = UserIndex(open_bundle(path))
    assert len(users) == len(users.similar(np.ones(DIM, np.float32), 3)) == 0
