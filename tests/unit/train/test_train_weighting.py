"""Loss weighting strategies."""

import pytest
import torch

from model.errors import TrainingError
from model.train.weighting import DynamicAverage, Uncertainty, make_weighting


def test_fixed_weights_are_the_recipes() -> None:
    strategy = make_weighting("fixed", [1.0, 0.5])
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
    with pytest.raises(TrainingError, match=r"training\.weighting: found 'luck'; use one of fixed, uncertainty, dwa"):
        make_weighting("luck", [1.0])
