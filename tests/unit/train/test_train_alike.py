"""The content channel: honest weights in closed form, and lists for items that nobody has met."""

from dataclasses import replace

import numpy as np
import pytest

from model.config import Training
from model.data.log import KnowledgeGraph
from model.train.alike import content_kernel, content_neighbours, left_out
from model.train.arrays import Features, rivals

RNG = np.random.default_rng(5)
ITEMS = 40


def items(known: int = ITEMS) -> Features:
    """Two kinds of items that differ in text and attribute; those from row `known` on have no events."""
    kind = np.arange(ITEMS) % 2
    text = RNG.normal(size=(ITEMS, 6)).astype(np.float32) * 0.1
    text[:, 0] += np.where(kind, 1.0, -1.0)
    index = np.where(np.arange(ITEMS) < known, np.arange(ITEMS) + 1, 0)
    return Features(index, text, (kind[:, None] + 1).astype(np.int32), np.full(ITEMS, -1), np.zeros((1, 1), np.int32))


def test_the_weights_are_those_of_fits_that_left_each_item_out() -> None:
    rows = RNG.normal(size=(12, 5)).astype(np.float32)
    kernel = rows @ rows.T + np.float32(0.5)
    weights, _ = left_out(kernel, 2.0)
    for item in range(12):
        others = np.arange(12) != item
        inner = kernel[np.ix_(others, others)] + 2.0 * np.eye(11)
        np.testing.assert_allclose(weights[others, item], np.linalg.solve(inner, kernel[others, item]), atol=1e-3)
        assert weights[item, item] == 0.0


def test_an_item_speaks_for_its_kind_known_or_not() -> None:
    mine = items(known=30)
    table = content_neighbours(mine, None, Training())
    for row in range(30):
        near = table.of(row).rows[:10]
        assert (near % 2 == row % 2).all()
    assert any(row >= 30 for row in table.of(0).rows)
    assert not len(table.of(35)), "an item without events is in nobody's history"


def test_every_part_of_content_is_heard_unless_switched_off() -> None:
    mine = items()
    whole = content_kernel(mine, None, Training())
    assert whole is not None
    for switch in ("text", "attributes"):
        less = content_kernel(mine, None, Training.model_validate({switch: False}))
        assert less is not None
        assert not np.allclose(whole, less)
    graph = KnowledgeGraph(("a", "b", "c"), ("is",), np.asarray([[0, 0, 2], [1, 0, 2]]), np.r_[0, 1, np.full(38, -1)])
    more = content_kernel(mine, graph, Training())
    assert more is not None
    assert more[0, 1] - whole[0, 1] == pytest.approx(1.0)
    assert more[0, 2] == pytest.approx(whole[0, 2])


def test_without_content_the_channel_offers_nothing() -> None:
    mine = items()
    bare = replace(mine, text=np.zeros_like(mine.text), attributes=np.zeros_like(mine.attributes))
    assert content_kernel(bare, None, Training()) is None
    table = content_neighbours(bare, None, Training())
    assert len(table) == ITEMS
    assert not len(table.indices)


def test_an_item_without_events_competes_with_its_like() -> None:
    met = np.asarray([True, False, True, False])
    assert rivals(met, 0).tolist() == [True, True, True, True]
    assert rivals(met, 1).tolist() == [False, True, False, True]
