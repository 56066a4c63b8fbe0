"""Tables of the channels against small worlds and closed forms."""

import numpy as np
import pytest
import scipy.sparse as sp

from model.data.log import Dataset, KnowledgeGraph, Records
from model.features.ranking import neighbour_evidence
from model.features.spec import ChannelSpec, FeatureSpec, TaskSpec
from model.ids import IdMap
from model.train import channels
from model.train.baselines import make_baselines
from model.train.metrics import MISSED
from model.train.moments import Moments
from model.train.shared import attribute_matrix, item_facts, shared_neighbours
from model.train.tune import DECAYS, Panel, tuned_decay, tuned_ridge
from tests.logs import make_log

ROUND = make_log(
    user=np.repeat(np.arange(8), 6), item=np.concatenate([(np.arange(6) + start) % 8 for start in range(8)])
)
SPEC = FeatureSpec(
    event_types=("view",),
    tasks=(TaskSpec(name="interest", kind="binary"),),
    channels=(ChannelSpec(name="cooccurrence", kind="neighbours", decay=0.8, depth=5),),
)
RNG = np.random.default_rng(3)
RANDOM = make_log(user=RNG.integers(0, 20, 300), item=RNG.integers(0, 12, 300))


def test_cooccurrence_is_directed_and_the_next_item_comes_first() -> None:
    table = channels.cooccurrence(ROUND.by_user(8), 8, window=3)
    for item in range(8):
        found = table.of(item)
        assert found.rows.tolist() == [(item + step) % 8 for step in (1, 2, 3)]
        assert (np.diff(found.scores) < 0).all()


def test_cooccurrence_of_a_log_without_pairs_is_empty() -> None:
    table = channels.cooccurrence(make_log(user=[0, 1], item=[0, 1]).by_user(2), 2)
    assert len(table) == 2
    assert not len(table.of(0))


def test_ease_equals_its_closed_form() -> None:
    x = np.zeros((20, 12))
    x[RANDOM.user, RANDOM.item] = 1.0
    inverse = np.linalg.inv(x.T @ x + 50.0 * np.eye(12))
    weights = np.maximum(inverse / -np.diag(inverse), 0.0)
    np.fill_diagonal(weights, 0.0)
    table = channels.ease(RANDOM.by_user(20), 12, 50.0, keep=12)
    np.testing.assert_allclose(channels.as_matrix(table).toarray(), weights, atol=1e-5)


def test_ease_of_many_items_leaves_out_what_one_user_alone_has_met(monkeypatch: pytest.MonkeyPatch) -> None:
    log = make_log(user=[0, 0, 1, 1, 0, 1, 2, 2], item=[0, 3, 0, 3, 1, 5, 3, 4])
    monkeypatch.setattr(channels, "WHOLE_ITEMS", 5)
    found = channels.as_matrix(channels.ease(log.by_user(3), 6, 1.0, 6)).toarray()
    inverse = np.linalg.inv(np.asarray([[2.0, 2.0], [2.0, 3.0]]) + np.eye(2))
    weights = np.maximum(inverse / -np.diag(inverse), 0.0)
    expected = np.zeros((6, 6))
    expected[0, 3], expected[3, 0] = weights[0, 1], weights[1, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    nothing = make_log(user=[0, 1], item=[0, 1]).by_user(2)
    assert not len(channels.ease(nothing, 6, 1.0, 6).indices)


def test_above_the_limit_cosine_stands_in_for_ease(monkeypatch: pytest.MonkeyPatch) -> None:
    log = RANDOM.by_user(20)
    monkeypatch.setattr(channels, "DENSE_ITEMS", 5)
    found = channels.as_matrix(channels.ease(log, 12, 50.0, 12)).toarray()
    expected = channels.as_matrix(channels.cosine(channels.interaction_matrix(log, 12), 1.0, 12)).toarray()
    np.testing.assert_allclose(found, expected)


def test_cosine_in_chunks_is_cosine() -> None:
    x = channels.interaction_matrix(RANDOM.by_user(20), 12)
    dense = x.toarray()
    norm = np.linalg.norm(dense, axis=0)
    expected = dense.T @ dense / (np.outer(norm, norm) + 2.0)
    np.fill_diagonal(expected, 0.0)
    found = channels.as_matrix(channels.cosine(x, 2.0, 12, chunk=5)).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_of_equal_cosines_the_first_items_are_kept() -> None:
    same = sp.csr_matrix(np.ones((3, 9), np.float32))
    found = channels.cosine(same, 1.0, 2, chunk=4)
    assert [found.of(row).rows.tolist() for row in (0, 1, 8)] == [[1, 2], [0, 2], [0, 1]]
    mixed = sp.csr_matrix(np.random.default_rng(0).integers(0, 2, (6, 30)).astype(np.float32))
    short, whole = channels.cosine(mixed, 1.0, 4, chunk=7), channels.cosine(mixed, 1.0, 30)
    for row in range(30):
        assert short.of(row).rows.tolist() == whole.of(row).rows[:4].tolist()


def test_a_panels_ranks_are_the_places_in_the_list_that_is_served() -> None:
    moments = Moments(SPEC, RANDOM, 20)
    rows = np.arange(150, 300)
    table, channel = channels.cooccurrence(RANDOM.by_user(20), 12), SPEC.channels[0]
    ranks = Panel(moments, rows, np.ones(12, bool)).ranks(table, channel)
    for rank, row in zip(ranks.tolist(), rows.tolist(), strict=True):
        history = moments.history(row)
        allowed = ~np.isin(np.arange(12), history.rows)
        served = neighbour_evidence(table, channel, history).allowed(allowed).rows.tolist()
        item = int(RANDOM.item[row])
        assert rank == (served.index(item) if item in served else MISSED) or item in served


def test_decay_is_chosen_by_what_finds_the_next_item() -> None:
    moments = Moments(SPEC, ROUND, 8)
    rows = np.asarray([6 * user + 5 for user in range(8)])
    panel = Panel(moments, rows, np.ones(8, bool))
    quality, chosen = tuned_decay(panel, channels.cooccurrence(ROUND.by_user(8), 8, window=1), SPEC.channels[0])
    assert quality == pytest.approx(1.0)
    assert chosen.decay in DECAYS


def test_ridge_tries_several_strengths_only_where_that_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def build(log: object, items: int, shrink: float, keep: int) -> object:
        tried.append(shrink)
        return channels.ease(RANDOM.by_user(20), items, shrink, keep)

    panel = Panel(Moments(SPEC, RANDOM, 20), np.arange(200, 300), np.ones(12, bool))
    given, channel = (77.0, 12), SPEC.channels[0]
    tuned_ridge(panel, build, RANDOM.by_user(20), given, channel)  # type: ignore[arg-type]  # reads less than it gets
    monkeypatch.setattr("model.train.tune.SHRINK_ITEMS", 5)
    _, shrink, _ = tuned_ridge(panel, build, RANDOM.by_user(20), given, channel)  # type: ignore[arg-type]  # the same
    assert len(tried) == 4
    assert tried[-1] == shrink == 77.0


def test_popularity_ranks_by_count_without_what_was_had() -> None:
    log = make_log(user=[0, 0, 1, 1, 2, 2], item=[0, 1, 0, 2, 0, 1])
    ranks = make_baselines(log.by_user(3), 4)
    moments = Moments(SPEC, log, 3)
    assert ranks["popularity"](moments, np.asarray([3, 5])).tolist() == [1, 0]
    repeated = make_log(user=[0, 0], item=[1, 1])
    assert ranks["popularity"](Moments(SPEC, repeated, 1), np.asarray([1])).tolist() == [MISSED]
    assert set(ranks) == {"popularity", "item-kNN", "EASE"}


def test_ease_is_left_out_of_the_peers_of_a_large_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.train.baselines.EASE_ITEMS", 3)
    assert "EASE" not in make_baselines(RANDOM.by_user(20), 12)


GRAPH = KnowledgeGraph(
    entities=("a", "b", "c", "genre", "maker"),
    relations=("has genre", "made"),
    triples=np.asarray([[0, 0, 3], [1, 0, 3], [2, 0, 3], [4, 1, 0], [4, 1, 1], [4, 1, 1]]),
    item_entity=np.asarray([0, 1, 2, -1]),
)


def dataset(graph: KnowledgeGraph | None) -> Dataset:
    log = make_log(user=[0], item=[0])
    nothing = Records({}, {})
    ids = IdMap(["a", "b", "c", "d"])
    return Dataset(
        "world", ids, IdMap(["u"]), ("view",), ("interest",), (), (), log, log, nothing, nothing, graph, None, ()
    )


def test_items_that_share_the_rarer_thing_are_nearer() -> None:
    table = shared_neighbours(dataset(GRAPH), np.zeros((4, 1), np.int32), 10)
    assert table.of(0).rows.tolist() == [1, 2]
    assert table.of(0).scores[0] > table.of(0).scores[1]
    assert not len(table.of(3))


def test_attributes_stand_in_where_there_is_no_graph() -> None:
    attributes = np.asarray([[1, 2], [1, 2], [1, 0], [0, 0]], np.int32)
    table = shared_neighbours(dataset(None), attributes, 10)
    assert table.of(0).rows.tolist() == [1, 2]
    assert attribute_matrix(attributes).sum() == 5


def test_facts_name_what_two_items_share_rarest_first() -> None:
    facts = item_facts(GRAPH)
    assert facts.shared(0, 1) == [("made of", "maker"), ("has genre", "genre")]
    assert facts.shared(0, 2) == [("has genre", "genre")]
    assert facts.shared(0, 3) == facts.shared(0, 99) == []
