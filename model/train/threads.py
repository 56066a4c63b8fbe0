"""How many threads training gets: two waiting for each other on a busy machine are many times slower than one."""

import os
import time
from collections.abc import Callable

import torch

from model.errors import TrainingError

GAIN = 1.25  # how much faster more threads must be
ROUNDS = 6


def choose_threads(most: int, seconds: Callable[[int], float] | None = None) -> int:
    """Set torch's threads to what works faster now, 1 or `most` (at most OMP_NUM_THREADS); returns it."""
    measure = seconds or trial
    most = min(most, os.cpu_count() or 1, _told(os.environ.get("OMP_NUM_THREADS", "") or str(most)))
    chosen = most if most > 1 and measure(1) > GAIN * measure(most) else 1
    torch.set_num_threads(chosen)
    return chosen


def _told(threads: str) -> int:
    """What OMP_NUM_THREADS says: a number, or one for each level of nesting, the outermost first."""
    outermost = threads.partition(",")[0].strip()
    if not outermost.isdecimal() or not int(outermost):
        raise TrainingError("OMP_NUM_THREADS", threads, "give a whole number of at least 1")
    return int(outermost)


def trial(threads: int) -> float:
    """Seconds that steps of about a ranker's size take with so many threads, the median of ROUNDS."""
    torch.set_num_threads(threads)
    weight = torch.randn(4, 256, 64, requires_grad=True)
    x, taken = torch.randn(64, 1, 40, 256), []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        (x @ weight).relu().square().mean().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        taken.append(time.perf_counter() - started)
    return sorted(taken)[ROUNDS // 2]
