"""The number of threads is what works faster now."""

import pytest
import torch

from model.errors import TrainingError
from model.train.threads import choose_threads, trial


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)


@pytest.mark.parametrize(("pair", "expected"), [(0.5, 2), (0.9, 1), (3.0, 1)])
def test_more_threads_only_where_they_are_clearly_faster(pair: float, expected: int) -> None:
    assert choose_threads(2, lambda threads: 1.0 if threads == 1 else pair) == expected


@pytest.mark.parametrize("told", ["1", "1,4"])
def test_the_environment_sets_a_limit(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert choose_threads(2, lambda threads: 1.0 / threads) == 1


@pytest.mark.parametrize("told", ["many", "0", "-1", "1.5"])
def test_a_limit_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    with pytest.raises(TrainingError, match=f"OMP_NUM_THREADS: found '{told}'; give a whole number"):
        choose_threads(2)


def test_a_trial_takes_time() -> None:
    assert trial(1) > 0
