"""Laws and known answers of the losses."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.features.spec import TaskSpec
from model.nn import losses
from model.nn.heads import TaskValues

NAN = math.nan


def test_known_answers() -> None:
    zeros, truth = torch.zeros(3), torch.tensor([1.0, 0.0, NAN])
    assert losses.binary(zeros, truth).item() == pytest.approx(math.log(2))
    assert losses.regression(torch.tensor([2.0, 5.0]), torch.tensor([4.0, NAN]), 4.0).item() == pytest.approx(4.0)
    assert losses.regression(torch.tensor([20.0]), torch.tensor([40.0]), 40.0).item() == pytest.approx(4.0)
    assert losses.ordinal(torch.zeros(1, 4), torch.tensor([3.0]), 1.0).item() == pytest.approx(math.log(2))
    assert losses.listwise(torch.zeros(1, 4), torch.tensor([[1.0, 0.0, 0.0, NAN]])).item() == pytest.approx(math.log(3))
    assert losses.links(torch.zeros(2), torch.zeros(2, 3)).item() == pytest.approx(math.log(4))
    assert losses.transe(torch.ones(1, 2), torch.ones(1, 2), torch.tensor([[2.0, 2.0]])).item() == 0.0
    head, relation, tail = (torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[5.0, 6.0]]))
    assert losses.distmult(head, relation, tail).item() == 63.0
    logits = torch.zeros(2, 4)
    assert losses.attributes(logits, torch.tensor([[1, 3, 0], [0, 0, 0]])).item() == pytest.approx(math.log(2))


def test_an_ordinal_loss_is_least_at_the_right_level() -> None:
    task = TaskSpec(name="stars", kind="ordinal", low=1, high=5)
    values = TaskValues([task])
    raw = torch.linspace(-6, 6, 121)
    for level in (1.0, 3.0, 5.0):
        by_raw = torch.stack([losses.ordinal(values.cumulative(task, one), torch.tensor(level), 1.0) for one in raw])
        best = values(raw[by_raw.argmin()].reshape(1))
        assert abs(best.item() - level) < 0.5


@pytest.mark.parametrize("weights", [None, torch.zeros(4)])
def test_nothing_labelled_is_no_loss_and_no_gradient(weights: torch.Tensor | None) -> None:
    logits = torch.randn(4, requires_grad=True)
    labels = torch.full((4,), NAN) if weights is None else torch.ones(4)
    for loss in (losses.binary(logits, labels, weights), losses.regression(logits, labels, 4.0, weights)):
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == 0.0
        assert not gradient.any()


def test_weights_are_shares() -> None:
    logits, labels = torch.tensor([0.3, -2.0, 1.0]), torch.tensor([1.0, 1.0, 0.0])
    twice = losses.binary(logits[[0, 0, 1]], labels[[0, 0, 1]])
    torch.testing.assert_close(losses.binary(logits, labels, torch.tensor([2.0, 1.0, 0.0])), twice)
    torch.testing.assert_close(losses.binary(logits, labels, torch.full((3,), 7.0)), losses.binary(logits, labels))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), users=st.integers(1, 5), items=st.integers(2, 9))
def test_sampling_every_item_once_is_the_full_softmax(seed: int, users: int, items: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    user, item = (torch.randn(count, 4, generator=generator) for count in (users, items))
    targets = torch.randint(items, (users,), generator=generator)
    same = targets[:, None] == torch.arange(items)
    log_q = (torch.zeros(users), torch.zeros(items))
    sampled = losses.sampled_softmax(user, item[targets], item, log_q, same)
    torch.testing.assert_close(sampled, losses.full_softmax(user, item, targets))


def test_drawing_an_item_twice_is_corrected_by_how_often_it_is_drawn() -> None:
    user, item = torch.randn(3, 4), torch.randn(6, 4)
    targets = torch.tensor([0, 1, 2])
    drawn = torch.tensor([3, 3, 4, 5, 0, 1, 2])
    often = torch.tensor([0.0, 0.0, 0.0, math.log(2), 0.0, 0.0])
    same = targets[:, None] == drawn
    corrected = losses.sampled_softmax(user, item[targets], item[drawn], (often[targets], often[drawn]), same)
    torch.testing.assert_close(corrected, losses.full_softmax(user, item, targets))


def test_slates_without_a_relevant_candidate_are_left_out() -> None:
    logits = torch.randn(2, 3)
    labels = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(losses.listwise(logits, labels), losses.listwise(logits[:1], labels[:1]))
    halved = losses.listwise(logits, labels.fill_diagonal_(1.0), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(halved, losses.listwise(logits[:1], labels[:1]))


def test_views_of_one_thing_find_each_other() -> None:
    views = torch.eye(5)
    assert losses.info_nce(views, views) < 0.01
    assert losses.info_nce(views, views.roll(1, 0)) > 5.0


def test_a_slate_task_is_listwise() -> None:
    task = TaskSpec(name="next", kind="next_item")
    raw, labels = torch.randn(2, 3, 1), torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]).unsqueeze(-1)
    weights = torch.tensor([[2.0, 2.0, 2.0], [1.0, 1.0, 1.0]]).unsqueeze(-1)
    by_task, counts = losses.task_losses([task], TaskValues([task]), raw, labels, weights)
    torch.testing.assert_close(by_task[0], losses.listwise(raw[..., 0], labels[..., 0], torch.tensor([2.0, 1.0])))
    assert counts.tolist() == [6]
