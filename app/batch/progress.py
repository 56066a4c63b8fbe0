"""A line of progress on stderr for anything that takes longer than two seconds; nothing otherwise."""

import sys
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TextIO, TypeVar

T = TypeVar("T")
QUIET_S = 2.0
EVERY_S = 0.5


def watched(things: Iterable[T], total: int, what: str, out: TextIO | None = None) -> Iterator[T]:
    """The things themselves, one after the other, while `out` (stderr) shows how far it is."""
    out = out or sys.stderr
    started = shown = monotonic()
    for done, thing in enumerate(things):
        now = monotonic()
        if now - started >= QUIET_S and now - shown >= EVERY_S:
            shown = now
            out.write(f"\r{line(what, done, total, now - started)}")
            out.flush()
        yield thing
    if shown > started:
        out.write(f"\r{line(what, total, total, monotonic() - started)}\n")


def line(what: str, done: int, total: int, seconds: float) -> str:
    """One line: a bar, counts, the rate, and how long it may still take."""
    rate = done / max(seconds, 1e-9)
    filled = 24 * done // max(total, 1)
    left = (total - done) / rate if rate else 0.0
    return f"{what} [{'#' * filled}{'.' * (24 - filled)}] {done:,}/{total:,} {rate:,.0f}/s {left:,.0f} s left "
