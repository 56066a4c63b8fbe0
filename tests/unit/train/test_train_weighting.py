"""Loss weighting strategies: known answers, and one law for all: a task without labels moves nothing."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.config import Training
from model.errors import TrainingError
from model.nn.ranker import Shared
from model.train.weighting import STRATEGIES, DynamicAverage, Fixed, GradNorm, PCGrad, Uncertainty, make_weighting


def shared(*parameters: nn.Parameter) -> Shared:
    return Shared(list(parameters), list(parameters))


def gradient(parameter: nn.Parameter) -> list[float]:
    assert parameter.grad is not None
    return [float(one) for one in parameter.grad]


def quadratics(x: nn.Parameter, *centres: tuple[float, ...]) -> Tensor:
    """Losses ½|x - centre|², whose gradients are x - centre."""
    return torch.stack([0.5 * (x - torch.tensor(centre)).square().sum() for centre in centres])


def test_every_weighting_that_a_recipe_may_name_is_carried_out() -> None:
    named = set(get_args(Training.model_fields["weighting"].annotation))
    assert named == {*STRATEGIES, "search"}


def test_fixed_weights_are_the_recipes() -> None:
    strategy = Fixed([1.0, 0.5])
    assert float(strategy.total(torch.tensor([2.0, 4.0]))) == 4.0
    assert strategy.weights() == [1.0, 0.5]
    assert list(strategy.parameters()) == []
    strategy.epoch_ends([1.0, 1.0])
    assert strategy.weights() == [1.0, 0.5]


def test_uncertainty_learns_to_listen_less_to_the_noisier_task() -> None:
    strategy = Uncertainty([1.0, 1.0])
    optimiser = torch.optim.SGD(strategy.parameters(), lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        strategy.total(torch.tensor([4.0, 0.5])).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
    noisy, sure = strategy.weights()
    assert noisy == pytest.approx(1 / 4, rel=0.05)
    assert sure == pytest.approx(1 / 0.5, rel=0.05)


def test_uncertainty_learns_nothing_of_a_task_without_labels() -> None:
    strategy = Uncertainty([1.0, 1.0])
    strategy.total(torch.tensor([0.0, 0.5])).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert strategy.log_variance.grad is not None
    assert float(strategy.log_variance.grad[0]) == 0.0


def test_dynamic_average_turns_to_the_task_that_falls_slowly() -> None:
    strategy = DynamicAverage([1.0, 1.0])
    strategy.epoch_ends([1.0, 1.0])
    assert strategy.weights() == [1.0, 1.0]
    strategy.epoch_ends([0.5, 1.0])
    fast, slow = strategy.weights()
    assert slow > fast
    assert fast + slow == pytest.approx(2.0)
    assert float(strategy.total(torch.tensor([1.0, 0.0]))) == pytest.approx(fast)


def test_an_unknown_strategy_is_refused_with_those_that_exist() -> None:
    with pytest.raises(
        TrainingError, match=r"training\.weighting: found 'luck'; use one of fixed, uncertainty, dwa, gradnorm, pcgrad"
    ):
        make_weighting("luck", [1.0])


def test_conflicting_gradients_are_projected_as_by_hand() -> None:
    x = nn.Parameter(torch.tensor([0.0, 0.0]))
    strategy = PCGrad([1.0, 1.0])
    strategy.descend(quadratics(x, (-1.0, 0.0), (1.0, -1.0)), shared(x))  # gradients (1, 0) and (-1, 1): product -1
    first = np.asarray([1.0, 0.0]) - -1.0 / 2.0 * np.asarray([-1.0, 1.0])  # (½, ½)
    second = np.asarray([-1.0, 1.0]) - -1.0 / 1.0 * np.asarray([1.0, 0.0])  # (0, 1)
    np.testing.assert_allclose(gradient(x), first + second, atol=1e-6)


def test_gradients_that_agree_are_summed_as_they_are() -> None:
    x = nn.Parameter(torch.tensor([0.0, 0.0]))
    PCGrad([1.0, 0.5]).descend(quadratics(x, (-1.0, 0.0), (-1.0, -4.0)), shared(x))
    np.testing.assert_allclose(gradient(x), [1.5, 2.0], atol=1e-6)


def test_projected_gradients_descend_every_task_of_two() -> None:
    for seed in range(20):
        gradients = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 5)))
        step = PCGrad([1.0, 1.0]).projected(gradients).sum(0)
        assert (gradients @ step).min() >= -1e-9


def test_what_belongs_to_one_task_follows_its_own_gradient() -> None:
    x, own = nn.Parameter(torch.tensor([0.0, 0.0])), nn.Parameter(torch.tensor([2.0]))
    losses = quadratics(x, (-1.0, 0.0), (1.0, -1.0)) + torch.stack([torch.zeros(()), own.square().sum()])
    PCGrad([1.0, 0.5]).descend(losses, shared(x))
    assert gradient(own) == [2.0]


def test_gradnorm_turns_to_the_slow_task_and_keeps_the_sum() -> None:
    x = nn.Parameter(torch.tensor([1.0]))
    strategy = GradNorm([1.0, 1.0])
    for step in range(60):
        x.grad = None
        fast = torch.tensor(0.9**step)  # the first task's loss falls, the second's does not; gradients are alike
        strategy.descend(torch.stack([(x - x.detach()).sum() + fast, (x - x.detach()).sum() + 1.0]), shared(x))
    quick, slow = strategy.weights()
    assert slow > 1.5 > 0.5 > quick > 0
    assert quick + slow == pytest.approx(2.0, rel=1e-5)
    assert gradient(x) == pytest.approx([quick + slow])


def test_gradnorm_makes_gradients_alike_when_tasks_come_as_far() -> None:
    x = nn.Parameter(torch.tensor([1.0]))
    strategy = GradNorm([1.0, 0.5])
    for _ in range(300):
        x.grad = None
        strategy.descend(torch.stack([(x - x.detach()).sum() * 3 + 1.0, (x - x.detach()).sum() + 1.0]), shared(x))
    long, short = strategy.weights()
    assert 3 * long == pytest.approx(short / 0.5, rel=0.1)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_task_without_labels_gets_no_gradient_and_changes_no_other(name: str) -> None:
    def step(count: int) -> tuple[nn.Parameter, nn.Parameter]:
        x, own = nn.Parameter(torch.tensor([2.0, 1.0])), nn.Parameter(torch.tensor([1.0]))
        silent = (own.sum() + x.sum()) * 0.0  # as of a batch without its labels
        losses = torch.cat([quadratics(x, (0.0, 0.0), (3.0, 0.0)), silent.reshape(1)])[:count]
        strategy = make_weighting(name, [1.0] * count)
        strategy.descend(losses, shared(x))
        return x, own

    with_it, without = step(3), step(2)
    assert gradient(with_it[0]) == pytest.approx(gradient(without[0]))
    assert with_it[1].grad is None or gradient(with_it[1]) == [0.0]


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_batch_without_any_label_moves_nothing(name: str) -> None:
    x = nn.Parameter(torch.tensor([2.0]))
    strategy = make_weighting(name, [1.0, 1.0])
    strategy.descend(torch.stack([x.sum() * 0.0, x.sum() * 0.0]), shared(x))
    assert x.grad is None or gradient(x) == [0.0]


def test_the_order_of_projections_comes_from_the_given_randomness() -> None:
    gradients = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 4)))
    one, same, other = (
        PCGrad([1.0] * 6, np.random.default_rng(seed)).projected(gradients).sum(0) for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
