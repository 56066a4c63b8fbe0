"""A line of progress on stderr for anything that takes longer than two seconds; nothing otherwise."""

import sys
from time import monotonic
from typing import TextIO

QUIET_S = 2.0
EVERY_S = 0.5


class Bar:
    """Shows on `out` (stderr) how many of `total` are done."""

    def __init__(self, total: int, what: str, out: TextIO | None = None) -> None:
        self._total, self._what, self._out = total, what, out or sys.stderr
        self._done, self._started, self._shown = 0, monotonic(), 0.0

    def step(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        now = monotonic()
        last = self._done >= self._total
        if now - self._started >= QUIET_S and (last or now - self._shown >= EVERY_S):
            self._shown = now
            self._out.write(f"\r{line(self._what, self._done, self._total, now - self._started)}" + "\n" * last)
            self._out.flush()


def line(what: str, done: int, total: int, seconds: float) -> str:
    """One line: a bar, counts, the rate, and how long it may still take."""
    rate = done / max(seconds, 1e-9)
    filled = 24 * done // max(total, 1)
    left = (total - done) / rate if rate else 0.0
    return f"{what} [{'#' * filled}{'.' * (24 - filled)}] {done:,}/{total:,} {rate:,.0f}/s {left:,.0f} s left "
