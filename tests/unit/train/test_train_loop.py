"""Learning rate, early stopping, degenerate losses."""

import math

import pytest
import torch
from torch import nn

from model.errors import TrainingError
from model.train.loop import Schedule, Stopper, batch_size, check_loss


def test_the_rate_warms_up_then_falls_to_a_tenth() -> None:
    net = nn.Linear(1, 1)
    optimiser = torch.optim.SGD(net.parameters(), lr=1.0)
    schedule, rates = Schedule(optimiser, 100, 0.1), []
    for _ in range(100):
        schedule.step()
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_the_best_state_comes_back_after_patience_is_spent() -> None:
    net = nn.Linear(1, 1)
    stopper, spent = Stopper(net, patience=2), []
    for epoch, figure in enumerate([0.1, 0.5, 0.4, 0.3], start=1):
        nn.init.constant_(net.weight, float(epoch))
        spent.append(stopper.worse(figure, epoch))
    assert spent == [False, False, False, True]
    assert stopper.restore(4) == 2
    assert net.weight.item() == 2.0


def test_the_start_is_kept_where_no_epoch_was_better() -> None:
    net = nn.Linear(1, 1)
    stopper, start = Stopper(net, patience=1), net.weight.item()
    assert not stopper.worse(0.4, 0)
    nn.init.constant_(net.weight, 9.0)
    assert not stopper.worse(0.3, 1)
    assert stopper.worse(0.2, 2)
    assert stopper.restore(5) == 0
    assert net.weight.item() == start


def test_patience_counts_from_the_best_epoch_of_learning_however_good_the_start_was() -> None:
    stopper = Stopper(nn.Linear(1, 1), patience=2)
    assert [stopper.worse(figure, epoch) for epoch, figure in enumerate([0.4, 0.1, 0.2, 0.3, 0.5, 0.2, 0.2])] == [
        False, False, False, False, False, False, True,
    ]  # fmt: skip
    assert stopper.restore(6) == 4


def test_without_any_figure_the_last_epoch_counts() -> None:
    assert Stopper(nn.Linear(1, 1), 1).restore(7) == 7


def test_figures_and_losses_that_are_no_numbers_stop_training() -> None:
    with pytest.raises(TrainingError, match="validation figure: found nan; lower the learning rate"):
        Stopper(nn.Linear(1, 1), 1).worse(math.nan, 1)
    with pytest.raises(TrainingError, match="tower loss: found inf; lower the learning rate"):
        check_loss("tower loss", math.inf)
    assert check_loss("tower loss", 1.5) == 1.5


@pytest.mark.parametrize(
    ("wanted", "examples", "expected"), [(128, 100_000, 128), (128, 500, 20), (128, 10, 8), (4, 9, 4)]
)
def test_small_data_get_small_batches(wanted: int, examples: int, expected: int) -> None:
    assert batch_size(wanted, examples) == expected
