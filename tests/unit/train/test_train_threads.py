"""The number of threads is what works faster now."""

import pytest
import torch

from model.train.threads import choose_threads, trial


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)


@pytest.mark.parametrize(("pair", "expected"), [(0.5, 2), (0.9, 1), (3.0, 1)])
def test_more_threads_only_where_they_are_clearly_faster(pair: float, expected: int) -> None:
    assert choose_threads(2, lambda threads: 1.0 if threads == 1 else pair) == expected


def test_the_environment_sets_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert choose_threads(2, lambda threads: 1.0 / threads) == 1


def test_a_trial_takes_time() -> None:
    assert trial(1) > 0
