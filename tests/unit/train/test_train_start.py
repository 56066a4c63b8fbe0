"""Where the item tower starts: ids, content and graph from closed forms that know what they should."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.data.log import KnowledgeGraph
from model.features.neighbours import Evidence, Neighbours
from model.features.spec import AttributeSpec
from model.nn.model import MultiTaskModel
from model.train import content
from model.train.arrays import Features
from model.train.batches import item_vectors
from model.train.content import Unseen, by_text_alone, settle
from model.train.guises import Guised, in_guises, inserted, nameless_items, newcomers, renamed
from model.train.start import move, start, start_graph, start_vectors, turn
from tests.learners import ITEMS, SPEC, USERS, WALK, features, net
from tests.logs import make_log

MANY = 240
COLOURS = AttributeSpec(name="colour", kind="multi", values=("a", "b", "c", "d"), offset=1)
WIDE = SPEC.model_copy(update={"attributes": (COLOURS,), "max_attributes": 2})
RNG = np.random.default_rng(3)


def many() -> Features:
    """Items with random texts and one or two of four colours."""
    colours = RNG.integers(1, 5, (MANY, 2)).astype(np.int32)
    colours[colours[:, 0] == colours[:, 1], 1] = 0
    text = RNG.normal(size=(MANY, 3)).astype(np.float32)
    entity = np.full(MANY, -1)
    return Features(np.arange(1, MANY + 1), text, colours, entity, np.zeros((1, 1), np.int32))


def settled(truth: NDArray[np.float32], items: Features) -> tuple[MultiTaskModel, Unseen]:
    model, rng, events = net(WIDE, MANY), np.random.default_rng(0), np.full(MANY, 1000)
    events[-3:] = 0
    return model, settle(model, items, newcomers(items, rng), truth, events, rng)


def fitted(truth: NDArray[np.float32], items: Features) -> tuple[MultiTaskModel, dict[str, float]]:
    model, unseen = settled(truth, items)
    return model, unseen.figures


def test_ids_and_content_together_say_at_first_what_the_factorisation_does() -> None:
    model, mine = net(), features()
    vectors = start_vectors(WALK.by_user(USERS), ITEMS, 8)
    assert np.mean((vectors**2).sum(1)) == pytest.approx(1.0, rel=1e-4)
    start(model, mine, newcomers(mine, np.random.default_rng(0)), WALK.by_user(USERS), None, np.random.default_rng(0))
    np.testing.assert_allclose(item_vectors(model, mine), vectors, atol=1e-4)


def test_of_more_attribute_values_than_a_fit_can_read_content_says_what_the_commonest_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items = many()
    truth = RNG.normal(size=(MANY, SPEC.dim)).astype(np.float32)
    common = np.sort(np.argsort(-np.bincount(items.attributes[:-3].ravel(), minlength=5)[1:], kind="stable")[:2]) + 1
    monkeypatch.setattr(content, "MOST_VALUES", 2)
    model, _ = settled(truth, items)
    told = model.item_tower.read_attributes.table.weight.detach().abs().sum(1)
    assert np.flatnonzero(told.numpy()).tolist() == common.tolist()
    np.testing.assert_allclose(item_vectors(model, items)[:-3], truth[:-3], atol=1e-4)


def test_a_log_too_small_to_be_factorised_leaves_the_tower_as_it_was() -> None:
    model = net()
    before = model.item_tower.read_text.weight.detach().clone()
    lonely = make_log(user=[0], item=[0])
    assert start_vectors(lonely.by_user(1), 1, 8).shape == (0, 8)
    start(model, features(), features(), lonely.by_user(1), None, np.random.default_rng(0))
    assert torch.equal(model.item_tower.read_text.weight, before)


def test_a_turn_brings_vectors_back_that_were_turned() -> None:
    vectors, weight = RNG.normal(size=(40, 8)).astype(np.float32), RNG.integers(1, 9, (40, 1))
    rotation = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
    turned = (vectors @ rotation).astype(np.float32)
    np.testing.assert_allclose(turned @ turn(turned, vectors, weight), vectors, atol=1e-5)


def test_more_events_move_what_was_learned_and_let_new_items_begin_where_the_factorisation_has_them() -> None:
    model, mine, after = net(), features(), WALK.by_user(USERS)
    late = 5  # an item that nobody had touched before
    before = WALK.take((np.arange(len(WALK)) % 15 < 11) & (WALK.item != late)).by_user(USERS)
    early = Features(
        np.where(np.arange(ITEMS) == late, 0, mine.id_index), mine.text, mine.attributes, mine.entity, mine.profile
    )
    start(model, early, newcomers(early, np.random.default_rng(0)), before, None, np.random.default_rng(0))
    learned = torch.from_numpy(RNG.normal(size=(ITEMS, 8)).astype(np.float32))
    learned[late] = 0
    model.item_tower.start_ids(model.item_tower.id.weight[1:].detach() + learned)
    had = item_vectors(model, early)
    move(model, mine, before, before)
    np.testing.assert_allclose(np.delete(item_vectors(model, mine), late, 0), np.delete(had, late, 0), atol=1e-4)
    move(model, mine, before, after)
    old, new = (start_vectors(log, ITEMS, 8) for log in (before, after))
    turned = new @ turn(new, old, np.bincount(before.log.item, minlength=ITEMS)[:, None])
    np.testing.assert_allclose(
        item_vectors(model, mine), np.where(np.arange(ITEMS)[:, None] == late, turned, had + turned - old), atol=1e-4
    )


def test_too_few_events_to_factorise_move_nothing() -> None:
    model, lonely = net(), make_log(user=[0], item=[0]).by_user(1)
    had = model.item_tower.id.weight.detach().clone()
    move(model, features(), lonely, lonely)
    assert torch.equal(model.item_tower.id.weight, had)


def test_content_explains_unseen_items_where_it_can_and_admits_where_it_cannot() -> None:
    items = many()
    by_text = (items.text @ RNG.normal(size=(3, 8))).astype(np.float32)
    assert fitted(by_text, items)[1]["explained"] > 0.9
    assert fitted(RNG.normal(size=(MANY, 8)).astype(np.float32), items)[1]["explained"] < 0.05


def test_where_no_item_is_described_only_texts_are_fitted() -> None:
    items = by_text_alone(many())
    truth = (items.text @ RNG.normal(size=(3, 8))).astype(np.float32)
    model, figures = fitted(truth, items)
    assert figures["explained"] == 0.0
    assert figures["alone:explained"] > 0.9
    assert not model.item_tower.read_text.weight.any()
    np.testing.assert_allclose(item_vectors(model, items)[:-3], truth[:-3], atol=1e-4)


def test_items_with_events_keep_their_vectors_and_all_others_are_what_content_says() -> None:
    items = many()
    truth = (items.text @ RNG.normal(size=(3, 8))).astype(np.float32)
    model, _ = fitted(truth, items)
    whole, nameless = item_vectors(model, items), item_vectors(model, nameless_items(items))
    np.testing.assert_allclose(whole[:-3], truth[:-3], atol=1e-4)
    np.testing.assert_allclose(whole[-3:], nameless[-3:], atol=1e-6)
    assert np.abs(nameless - truth).mean() < 0.2 * np.abs(truth).mean()


def test_what_content_says_of_an_unseen_item_does_not_know_its_vector() -> None:
    """Of noise a fit explains some on items that it has seen and nothing on others; of what text tells, all on both."""
    items = many()

    def left(said: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
        return float(((said - truth)[:-3] ** 2).sum() / (truth[:-3] ** 2).sum())

    noise = RNG.normal(size=(MANY, 8)).astype(np.float32)
    model, unseen = settled(noise, items)
    assert left(item_vectors(model, nameless_items(items)), noise) < 0.99
    assert min(left(said, noise) for said in (unseen.nameless, unseen.bare)) > 1.0
    told = (items.text @ RNG.normal(size=(3, 8))).astype(np.float32)
    model, unseen = settled(told, items)
    assert max(left(said, told) for said in (unseen.nameless, unseen.bare)) < 0.1
    np.testing.assert_allclose(unseen.nameless[-3:], item_vectors(model, items)[-3:], atol=1e-5)


def test_combinations_of_attributes_are_heard() -> None:
    """Whether an item has exactly the colours a and b cannot be told by a sum over its colours."""
    items = many()
    has = [(items.attributes == colour).any(1) for colour in (1, 2)]
    pair = (has[0] != has[1]).astype(np.float32)[:, None] * np.ones((1, 8), np.float32)
    assert fitted(pair - pair.mean(), items)[1]["explained"] > 0.4


def test_items_that_share_facts_start_near_each_other() -> None:
    # entities 0-9 are the items; 0-4 have the same writer (10), 5-9 another (11); each has an award of its own
    writers = [(item, 0, 10 + item // 5) for item in range(ITEMS)]
    awards = [(item, 1, 12 + item) for item in range(ITEMS)]
    triples = np.asarray([*writers, *awards])
    names = tuple(f"e{number}" for number in range(12 + ITEMS))
    graph = KnowledgeGraph(names, ("writer", "award"), triples, np.arange(ITEMS))
    model = MultiTaskModel(SPEC, ITEMS, len(names), 2, net().settings)
    start_graph(model.graph_encoder, graph)
    entities = model.graph_encoder.entity.weight.detach().numpy()
    own, writer = entities[:ITEMS], entities[10:12]
    assert (own[:5] @ own[:5].T > 0.99).all()
    assert (np.abs(own[:5] @ own[5:].T) < 0.01).all()
    np.testing.assert_allclose(writer[0], own[:5].mean(0), atol=1e-6)


def test_newcomers_have_no_id_and_no_graph_and_at_times_no_attributes() -> None:
    mine = features()
    new = newcomers(mine, np.random.default_rng(0))
    assert not new.id_index.any()
    assert (new.entity == -1).all()
    assert 0 < (new.attributes > 0).sum() < ITEMS


def test_candidates_are_newcomers_as_often_as_asked() -> None:
    rng, rows = np.random.default_rng(0), np.arange(20)
    lists = np.stack([in_guises(rows, 100, 0.4, rng) for _ in range(2000)])
    assert np.array_equal(lists % 100, np.tile(rows, (2000, 1)))
    new = lists >= 100
    assert new.mean() == pytest.approx(0.4, abs=0.02)
    assert (lists[new] >= 200).mean() == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(in_guises(rows, 100, 0.0, rng), rows)


def test_newcomers_stand_in_lists_where_their_scores_put_them_or_where_they_stood() -> None:
    found = Evidence(np.asarray([4, 2, 7]), np.asarray([3.0, 2.0, 1.0], np.float32))
    more = inserted(found, np.asarray([12]), np.asarray([2.5], np.float32), 3)
    assert more.rows.tolist() == [4, 12, 2]
    assert renamed(found, np.asarray([22]), 10).rows.tolist() == [4, 22, 7]


def test_leanings_echo_in_what_stands_without_its_id_as_in_the_item_itself_and_not_in_what_was_put_at_run_time() -> (
    None
):
    near = Neighbours.build(np.zeros(2, np.int64), np.asarray([1, 2]), np.asarray([2.0, 1.0]), 10)
    out, own = np.zeros((4, 2), np.float32), np.ones(1, np.float32)
    Guised(near, 10).echoed(np.zeros(1, np.int64), own, own, np.asarray([1, 11, 21, 2]), out)
    np.testing.assert_allclose(out[:, 1], np.log1p([1.0, 0.0, 1.0, 0.5]), rtol=1e-6)
    np.testing.assert_array_equal(out[2], out[0])
