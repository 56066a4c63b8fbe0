"""What every recall channel owes: allowed rows only, each once, best first, bounded, the same for the same request."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.pipeline.channels import Channel, ChannelRequest, spec_channels
from app.pipeline.channels.fresh import FreshChannel
from app.pipeline.channels.popular import PopularChannel
from app.pipeline.channels.query import QueryChannel
from app.pipeline.engine import Engine
from index.encode import ItemEncoder
from tests.pipelines import channel_request, make_engine, put, shared_engine

MAKERS: dict[str, Callable[[Engine], Channel]] = {
    "tower": lambda engine: spec_channels(engine.bundle)[0],
    "cooccurrence": lambda engine: spec_channels(engine.bundle)[1],
    "graph": lambda engine: spec_channels(engine.bundle)[2],
    "popular": lambda engine: PopularChannel(engine.live.popularity, 12),
    "fresh": lambda engine: FreshChannel(engine.live.freshness, 12),
    "query": lambda _: QueryChannel(12),
}
ODD = np.arange(60) % 2 == 1


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def channel(name: str) -> Channel:
    return MAKERS[name](shared_engine())


def ask(user_id: str = "u1", odd: bool = False) -> ChannelRequest:
    request = channel_request(shared_engine(), user_id, ODD if odd else None)
    return replace(request, query=ItemEncoder(shared_engine().bundle).strings(["a golden night of horror"])[0])


def test_it_has_its_name(name: str, channel: Channel) -> None:
    assert channel.name == name


@pytest.mark.parametrize("odd", [False, True])
def test_it_offers_only_what_is_allowed(channel: Channel, odd: bool) -> None:
    request = ask(odd=odd)
    rows = channel.offer(request).rows
    assert len(rows)
    assert not np.isin(rows, request.allowed.excluded).any()
    assert rows.min() >= 0
    if odd:
        assert (rows % 2 == 1).all()


def test_each_row_is_offered_once_and_the_list_is_bounded(channel: Channel) -> None:
    rows = channel.offer(ask()).rows
    assert len(np.unique(rows)) == len(rows) <= channel.size


def test_the_best_come_first_and_ties_go_to_the_lower_row(channel: Channel) -> None:
    found = channel.offer(ask())
    assert found.rows.tolist() == found.rows[np.lexsort((found.rows, -found.scores))].tolist()
    assert np.isfinite(found.scores).all()


def test_types_are_those_of_evidence(channel: Channel) -> None:
    found = channel.offer(ask())
    assert (found.rows.dtype.name, found.scores.dtype.name) == ("int64", "float32")


def test_the_same_request_has_the_same_answer(channel: Channel) -> None:
    first, again = channel.offer(ask()), channel.offer(ask())
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.scores, again.scores)


def test_nothing_allowed_is_nothing_offered(channel: Channel) -> None:
    request = channel_request(shared_engine(), mask=np.zeros(60, np.bool_))
    assert len(channel.offer(replace(request, query=ask().query))) == 0


def test_an_empty_history_is_no_error(channel: Channel) -> None:
    found = channel.offer(ask("u19"))
    assert len(found) <= channel.size


def test_a_hidden_item_is_not_offered(name: str) -> None:
    engine = make_engine()
    first = MAKERS[name](engine).offer(ask()).rows[0]
    engine.catalogue.hide(engine.catalogue.id(int(first)))
    request = replace(channel_request(engine), query=ask().query)
    assert first not in MAKERS[name](engine).offer(request).rows


@pytest.mark.parametrize("name", ["tower", "fresh", "query"])
def test_an_item_added_at_run_time_can_be_offered(name: str) -> None:
    engine = make_engine()
    row = put(engine, "new", "a golden night of horror")
    request = replace(
        channel_request(engine), query=ask().query, vector=engine.catalogue.vectors(np.asarray([row]))[0] * 9
    )
    assert row in MAKERS[name](engine).offer(request).rows


def test_without_a_query_the_query_channel_is_silent() -> None:
    assert len(QueryChannel().offer(channel_request(shared_engine()))) == 0
