"""The graph encoder: neighbours, attention and links."""

import numpy as np
import pytest
import torch

from model.nn.graph import NONE, GraphEncoder, sampled_neighbours
from model.nn.losses import distmult, links, transe

TRIPLES = np.asarray([[0, 0, 2], [0, 1, 3], [1, 0, 2]])


def _encoder(layers: int = 1) -> GraphEncoder:
    torch.manual_seed(0)
    encoder = GraphEncoder(5, 2, 4, layers)
    encoder.set_neighbours(*sampled_neighbours(TRIPLES, 5, 2, 3, np.random.default_rng(0)))
    return encoder


def test_neighbours_are_both_ways_and_relations_have_inverses() -> None:
    tails, kinds = sampled_neighbours(TRIPLES, 5, 2, 3, np.random.default_rng(0))
    found = [
        {(int(kind), int(tail)) for kind, tail in zip(*row, strict=True) if tail != NONE}
        for row in zip(kinds, tails, strict=True)
    ]
    assert found == [{(0, 2), (1, 3)}, {(0, 2)}, {(2, 0), (2, 1)}, {(3, 0)}, set()]


def test_no_more_neighbours_are_kept_than_asked_for_and_each_may_be() -> None:
    star = np.asarray([[0, 0, tail] for tail in range(1, 9)])
    seen = {tuple(sorted(sampled_neighbours(star, 9, 1, 2, np.random.default_rng(seed))[0][0])) for seed in range(60)}
    assert all(len(pair) == 2 for pair in seen)
    assert {tail for pair in seen for tail in pair} == set(range(1, 9))


def test_an_entity_without_neighbours_is_itself_and_none_is_zero() -> None:
    encoder = _encoder()
    found = encoder(torch.tensor([4, NONE]))
    torch.testing.assert_close(found[0], encoder.entity.weight[4])
    assert not found[1].any()


@pytest.mark.parametrize(("layers", "reached"), [(1, {0, 2, 3}), (2, {0, 1, 2, 3})])
def test_a_layer_is_a_step(layers: int, reached: set[int]) -> None:
    encoder, asked = _encoder(layers), torch.tensor([0])
    before, found = encoder(asked), set()
    for entity in range(5):
        moved = _encoder(layers)
        moved.entity.weight.data[entity] += 1.0
        if not torch.allclose(moved(asked), before):
            found.add(entity)
    assert found == reached


def test_entities_learn_from_links_alone_and_the_rest_from_what_is_made_of_them() -> None:
    encoder = _encoder()
    torch.autograd.backward(encoder(torch.tensor([0])).sum())
    assert encoder.entity.weight.grad is None
    assert all(one.weight.grad is not None for one in (encoder.relation, encoder.listen, encoder.mix[0]))
    torch.autograd.backward(encoder.score(torch.tensor([0]), torch.tensor([1]), torch.tensor([3])).sum())
    assert encoder.entity.weight.grad is not None


def test_the_relation_decides_what_is_heard() -> None:
    encoder = _encoder()
    before = encoder(torch.tensor([0]))
    encoder.kinds[0] = 1 - encoder.kinds[0]
    assert not torch.allclose(encoder(torch.tensor([0])), before)


def test_vectors_for_the_bundle_do_not_depend_on_the_batch() -> None:
    encoder = _encoder()
    rows = np.asarray([0, NONE, 3, 4, 1])
    np.testing.assert_allclose(encoder.entity_vectors(rows, 2), encoder.entity_vectors(rows), rtol=1e-5)
    assert encoder.entity_vectors(np.empty(0, np.int64)).shape == (0, 4)


def test_links_score_by_name() -> None:
    encoder = _encoder()
    head, kind, tail = torch.tensor([0]), torch.tensor([1]), torch.tensor([3])
    parts = encoder.entity(head), encoder.relation(kind), encoder.entity(tail)
    torch.testing.assert_close(encoder.score(head, kind, tail), distmult(*parts))
    torch.testing.assert_close(encoder.score(head, kind, tail, "transe"), transe(*parts))


@pytest.mark.parametrize("by", ["distmult", "transe"])
def test_true_links_can_be_learned(by: str) -> None:
    encoder = _encoder()
    optimiser = torch.optim.Adam(encoder.parameters(), 0.05)
    head, kind, tail = torch.from_numpy(TRIPLES).T
    for _ in range(60):
        every = encoder.score(head[:, None], kind[:, None], torch.arange(5), by)  # type: ignore[arg-type]  # parametrised
        loss = links(every.gather(1, tail[:, None]).squeeze(1), every)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    assert every.argmax(-1).tolist() == tail.tolist()
