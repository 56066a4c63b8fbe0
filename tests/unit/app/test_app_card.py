"""A service with device = auto or cuda where there is a card, faked at the session boundary: all of it is used."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.bootstrap import open_live
from app.live_bundle import LiveBundle
from app.metrics import Metrics
from app.pipeline.answer import Answer
from app.pipeline.recommend import Recommender
from app.pipeline.request import RecommendRequest
from app.settings import Settings
from app.state.memory import MemoryStore
from index.backends import FaissIndex, GpuIndex
from model.errors import PolyrankError
from model.features import sessions
from model.features.sessions import CUDA, BoundSession, chosen_device
from tests.cards import Binding, on_a_card
from tests.pipelines import NOW, sealed_path

ASKED = [RecommendRequest(user_id=f"u{number}", n=10, now=NOW) for number in range(12)]


@pytest.fixture
def bindings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Binding]]:
    yield on_a_card(monkeypatch)
    sessions.cuda_failure.cache_clear()


def opened(device: str) -> LiveBundle:
    settings = Settings.from_env({}, device=device, together_wait_ms=100)
    return open_live(sealed_path(), settings, MemoryStore(), Metrics())


def answers(live: LiveBundle) -> list[Answer]:
    async def go() -> list[Answer]:
        try:
            return list(await asyncio.gather(*map(live.recommender.recommend, ASKED)))
        finally:
            await live.recommender.close()

    return asyncio.run(go())


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_networks_and_index_are_on_the_card_and_requests_are_ranked_together(
    device: str, bindings: list[Binding]
) -> None:
    live, alone = opened(device), opened("cpu")
    assert isinstance(live.recommender, Recommender)
    networks, view = live.recommender.engine.networks, live.catalogue.view
    assert isinstance(networks.ranker, BoundSession)
    assert networks.ranker.get_providers()[0] == networks.tower.get_providers()[0] == CUDA
    assert isinstance(view.base.index, GpuIndex)
    bindings.clear()
    found, expected = answers(live), answers(alone)
    assert len(bindings) == 2  # one run of the user tower and one of the ranker, for twelve requests
    assert {place for binding in bindings for place in binding.places} == {"cuda"}
    for one, other in zip(found, expected, strict=True):
        assert [item.item_id for item in one.items] == [item.item_id for item in other.items]
        assert [item.score for item in one.items] == pytest.approx([item.score for item in other.items], abs=1e-5)
        assert (one.fallback, one.degraded) == (None, False)


def test_on_a_processor_no_request_waits_for_others() -> None:
    live = opened("cpu")
    assert isinstance(live.recommender, Recommender)
    assert live.recommender.engine.settings.wait_ms == 0
    assert isinstance(live.catalogue.view.base.index, FaissIndex)
    assert not isinstance(live.recommender.engine.networks.ranker, BoundSession)


def test_auto_without_a_card_is_the_processor_and_cuda_says_what_to_do() -> None:
    assert chosen_device("auto") in ("cpu", "cuda")
    if chosen_device("auto") == "cpu":
        with pytest.raises(
            PolyrankError, match=r"device cuda: found .*; install onnxruntime-gpu and its driver, or choose"
        ):
            opened("cuda")


def test_a_request_on_the_card_keeps_its_deadline(bindings: list[Binding]) -> None:
    live = opened("cuda")

    async def go() -> Answer:
        try:
            return await live.recommender.recommend(replace(ASKED[0], timeout_ms=10))
        finally:
            await live.recommender.close()

    answer = asyncio.run(go())
    assert (answer.fallback, answer.degraded) == ("popular", True)
    assert bindings
