"""Popular and fresh items in training lists: those the service offers beside its channels, as of the same counters."""

import numpy as np
import pytest

from app.pipeline.channels.fresh import POOL_MOST
from app.pipeline.settings import EngineSettings
from model.features.ranking import ArrayItems
from model.train import beside
from model.train.beside import FRESH, POPULAR, Beside
from tests.pipelines import channel_request, make_engine


@pytest.mark.parametrize("user", ["u1", "u2", "u19"])
def test_both_lists_are_those_of_the_service(user: str) -> None:
    engine = make_engine()
    request, view = channel_request(engine, user), engine.catalogue.view
    every = np.arange(len(view))
    items = ArrayItems(view.vectors(every), view.attributes(every))
    allowed = view.visible.copy()
    allowed[request.allowed.excluded] = False
    found = Beside(engine.bundle.spec).offers(engine.live.counters, request.vector, items, allowed)
    fresh = engine._fresh.offer(request)
    assert len(fresh)
    assert found["fresh"].rows.tolist() == fresh.rows.tolist()
    popular = engine._popular.offer(request).rows.tolist()  # in the context's order, out of what the bundle lists
    assert len(popular)
    assert set(popular) <= set(found["popular"].rows.tolist())
    shares = engine.live.counters.shares(found["popular"].rows).mean(axis=1)
    assert (np.diff(shares) <= 0).all()


def test_the_lists_are_as_long_as_the_services() -> None:
    assert (EngineSettings().popular, EngineSettings().fresh, POOL_MOST) == (POPULAR, FRESH, beside.POOL)


def test_they_follow_the_counters_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "EVERY", 3)
    engine = make_engine()
    request, view = channel_request(engine), engine.catalogue.view
    every, counters = np.arange(len(view)), engine.live.counters
    items, made = ArrayItems(view.vectors(every), view.attributes(every)), Beside(engine.bundle.spec)
    firsts = []
    for _ in range(4):
        firsts.append(int(made.offers(counters, request.vector, items, view.visible)["popular"].rows[0]))
        for _ in range(50):
            counters.add(59, 1, counters.total_newest)
    assert firsts[:3] == [firsts[0]] * 3
    assert firsts[3] == 59 != firsts[0]
