"""Views of a history: what they keep, what they hide, and that padding stays on the left."""

import numpy as np
import pytest

from model.train.moments import PAD, Windows
from model.train.views import GONE, VIEWS, cropped, masked, random_view, rearranged, reordered


def windows(*counts: int, length: int = 8) -> Windows:
    """Windows of so many events; event i of a window is item i, of type 1, value i / 10 and gap i + 1."""
    places = np.arange(length) - (length - np.asarray(counts)[:, None])
    real = places >= 0
    values = np.where(real, places / 10, 0).astype(np.float32)
    return Windows(np.where(real, places, PAD), real.astype(np.int64), values, np.where(real, places + 1, 0))


@pytest.mark.parametrize("count", [1, 2, 3, 10, 50])
def test_a_view_keeps_some_events_and_invents_none(count: int) -> None:
    for view in VIEWS:
        for seed in range(20):
            kept = view(count, np.random.default_rng(seed))
            known = kept[kept != GONE]
            assert 1 <= len(known) == len(set(known.tolist()))
            assert set(known.tolist()) <= set(range(count))


def test_crop_is_a_run_mask_keeps_places_and_reorder_keeps_all() -> None:
    rng = np.random.default_rng(0)
    run = cropped(10, rng)
    assert len(run) == 6
    assert (np.diff(run) == 1).all()
    holes = masked(200, rng)
    assert ((holes == GONE) | (holes == np.arange(200))).all()
    assert 30 < (holes == GONE).sum() < 90
    shuffled = reordered(50, rng)
    assert sorted(shuffled.tolist()) == list(range(50))
    moved = np.flatnonzero(shuffled != np.arange(50))
    assert 0 < moved.max() - moved.min() < 30


def test_views_stand_on_the_right_and_carry_what_belongs_to_an_event() -> None:
    some = windows(8, 5, 1, 0)
    for seed in range(30):
        view = random_view(some, np.random.default_rng(seed))
        assert view.rows[3].tolist() == [PAD] * 8
        assert view.rows[2].tolist() == [PAD] * 7 + [0]
        real = view.rows != PAD
        assert (view.types == real).all()
        np.testing.assert_array_equal(view.gaps, np.where(real, view.rows + 1, 0))
        np.testing.assert_allclose(view.values, np.where(real, view.rows / 10, 0), atol=1e-6)
        assert (view.rows[1, :3] == PAD).all()


def test_rearranged_by_their_own_order_windows_stay() -> None:
    some = windows(4, 8)
    same = rearranged(some, np.where(some.rows == PAD, GONE, np.arange(8)))
    for name in ("rows", "types", "values", "gaps"):
        np.testing.assert_array_equal(getattr(same, name), getattr(some, name))
