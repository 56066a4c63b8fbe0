"""Progress is told only when it takes long."""

import io

import pytest

from app.batch import progress
from app.batch.progress import Bar, line


def test_what_is_quick_is_quiet() -> None:
    out = io.StringIO()
    bar = Bar(3, "work", out)
    for _ in range(3):
        bar.step()
    assert out.getvalue() == ""


def test_what_takes_long_is_told_and_ends_with_a_whole_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    bar = Bar(4, "work", out)
    for second in (1.0, 2.5, 2.6, 4.0):
        now[0] = second
        bar.step()
    assert out.getvalue() == f"\r{line('work', 2, 4, 2.5)}\r{line('work', 4, 4, 4.0)}\n"


def test_a_line_has_counts_rate_and_what_is_left() -> None:
    assert line("work", 500, 1000, 2.0) == "work [############............] 500/1,000 250/s 2 s left "
    assert line("work", 0, 0, 0.0).startswith("work [........................] 0/0")
