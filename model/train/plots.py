"""The report's plots as inline SVG: one palette, text as text, and ink that follows the page's own, light or dark."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

INK, FAINT = "#010203", "#040506"  # stand for the page's colours until the SVG is written
COLOURS = ("#2f86c1", "#e0803a", "#3f9e62", "#9a6fc4", "#c2504d", "#8c8c8c")
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "polyrank", "font.size": 9.0, "axes.titlesize": 10.0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": FAINT, "grid.linewidth": 0.8, "axes.edgecolor": FAINT, "text.color": INK, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "legend.frameon": False, "figure.facecolor": "none",
    "axes.facecolor": "none", "savefig.facecolor": "none", "lines.linewidth": 1.8,
    "axes.prop_cycle": f"cycler(color={COLOURS!r})",
}  # fmt: skip
Bins = Sequence[tuple[float, float, int]]


def svg(figure: Figure, told: str) -> str:
    """A figure as an <svg> element; `told` is what it shows, for those who do not see it."""
    out = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(out, format="svg", metadata={"Date": None})
    made = out.getvalue()
    made = made[made.index("<svg") :].replace(INK, "currentColor").replace(FAINT, "var(--faint)")
    made = re.sub(r' id="(?!p[0-9a-f]{10}|m[0-9a-f]{10})[^"]*"', "", made)  # clip paths and markers are referred to
    return made.replace("<svg", f'<svg role="img" aria-label="{told}"', 1)


def panels(count: int, height: float = 2.6, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure with `count` empty panels, in rows of at most `columns`."""
    across = min(max(count, 1), columns)
    down = -(-max(count, 1) // across)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.5 * across, height * down), layout=ConstrainedLayoutEngine(h_pad=0.1))
        grid = figure.subplots(down, across, squeeze=False).ravel()
    for axis in grid[count:]:
        axis.set_axis_off()
    return figure, list(grid[:count])


def legend(axis: Axes) -> None:
    """What the lines or bars are."""
    axis.legend(frameon=False, labelcolor=INK, fontsize=8)


def reliability(bins: Mapping[str, Bins], errors: Mapping[str, float]) -> str:
    """One panel a task: what was said against what came true; the size of a point is that of its bin."""
    figure, axes = panels(len(bins), 3.3)
    for axis, (name, some) in zip(axes, bins.items(), strict=True):
        said, was, size = (np.asarray(column, np.float64) for column in zip(*some, strict=True))
        top = max(float(said.max()), float(was.max()), 1e-6) * 1.05
        axis.plot([0, top], [0, top], color=FAINT, linewidth=1.5)
        axis.plot(said, was, color=COLOURS[0])
        axis.scatter(said, was, 12 + 24 * size / size.max(), color=COLOURS[0])
        title = f"{name} (error {errors[name]:.3f})" if name in errors else name
        axis.set(title=title, xlabel="predicted probability", ylabel="share that came true")
    return svg(figure, "reliability of each binary task")


def curves(epochs: Sequence[Mapping[str, float]]) -> str:
    """Learning curves: a panel for each thing that was measured, training and validation in one."""
    grouped: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for one in epochs:
        for name, value in one.items():
            place = panel_of(name)
            if place is not None:
                grouped.setdefault(place[0], {}).setdefault(place[1], []).append((one["epoch"], value))
    figure, axes = panels(len(grouped), 2.4)
    for axis, (title, lines) in zip(axes, grouped.items(), strict=True):
        for name, points in lines.items():
            axis.plot(*zip(*points, strict=True), ".-", label=name or None)
        axis.set_title(title)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if any(lines):
            legend(axis)
    return svg(figure, "learning curves by epoch")


def panel_of(name: str) -> tuple[str, str] | None:
    """Panel and line of a recorded figure: `ranker/valid/like` is the line "validation" of "like: loss"."""
    match name.split("/"):
        case ["epoch"] | ["alone", *_] | ["ranker", "weight", _]:
            return None
        case ["ranker", "loss", task]:
            return f"{task}: loss", "training"
        case ["ranker", "valid", task]:
            return f"{task}: loss", "validation"
        case ["ranker", what, task]:
            return f"{task}: {what}", ""
        case ["refit", stage, what]:
            return f"{stage}: {what}", "second fit"
        case [stage, what]:
            return f"{stage}: {what}", "first fit" if what == "loss" else ""
    return name, ""


def exposure(tenths: Mapping[str, Mapping[str, float]]) -> str:
    """Bars by tenth of the catalogue, most popular first."""
    figure, (axis,) = panels(1, 3.2, 1)
    figure.set_size_inches(8.0, 3.2)
    names = [name for name in next(iter(tenths.values()), {}) if name != "items"]
    bars(axis, list(tenths), {name: [one[name] for one in tenths.values()] for name in names})
    axis.set(xlabel="tenth of the catalogue, most popular first", ylabel="share of all")
    legend(axis)
    return svg(figure, "exposure by popularity of items")


def bars(axis: Axes, places: Sequence[str], series: Mapping[str, Sequence[float]]) -> None:
    """Grouped bars: one group a place, one bar a series."""
    wide = 0.8 / max(len(series), 1)
    for number, (name, values) in enumerate(series.items()):
        at = np.arange(len(places)) + (number - (len(series) - 1) / 2) * wide
        axis.bar(at, values, wide, label=name, color=COLOURS[number % len(COLOURS)])
    axis.set_xticks(np.arange(len(places)), places, fontsize=9 if max(map(len, places), default=0) < 4 else 7)
    axis.grid(visible=False, axis="x")


def by_amount(told: Mapping[str, Mapping[str, float]], items: Mapping[str, Mapping[str, float]]) -> str:
    """Quality by events told of the user (two panels) and by events of the item (one)."""
    shown = [name for name in ("ndcg@10", "hr@10") if told] + (["items"] if items else [])
    figure, axes = panels(len(shown), 3.0)
    for axis, what in zip(axes, shown, strict=True):
        if what == "items":
            _by_class(axis, items)
        else:
            _by_told(axis, told, what)
    return svg(figure, "quality by number of interactions")


def _by_told(axis: Axes, told: Mapping[str, Mapping[str, float]], what: str) -> None:
    for name in _systems(told, what):
        axis.plot(range(len(told)), [one[f"{name} {what}"] for one in told.values()], "o-", label=name, markersize=4)
    axis.set_xticks(range(len(told)), list(told))
    axis.set(title=what.upper(), xlabel="events told of the user")
    axis.set_ylim(bottom=0)
    legend(axis)


def _by_class(axis: Axes, items: Mapping[str, Mapping[str, float]]) -> None:
    what = "recall@50"
    series = {name: [one.get(f"{name} {what}", 0.0) for one in items.values()] for name in _systems(items, what)}
    bars(axis, list(items), series)
    axis.set(title=what.capitalize(), xlabel="events of the item in training")
    legend(axis)


def _systems(table: Mapping[str, Mapping[str, float]], what: str) -> list[str]:
    """Names of the systems that have a figure anywhere in a table."""
    columns = dict.fromkeys(column for one in table.values() for column in one)
    return [column.removesuffix(f" {what}") for column in columns if column.endswith(f" {what}")]


def lorenz(counts: NDArray[np.int64], shown: NDArray[np.int64]) -> str:
    """Share of recommendations against share of past events, items from most to least popular."""
    figure, (axis,) = panels(1, 3.2, 1)
    figure.set_size_inches(4.6, 3.2)
    order = np.argsort(-counts, kind="stable")
    share = np.arange(1, len(order) + 1) / max(len(order), 1)
    for values, name in ((shown, "recommendations"), (counts, "past events")):
        axis.plot(share, np.cumsum(values[order]) / max(values.sum(), 1), label=name)
    axis.set(xlabel="share of the catalogue, most popular first", ylabel="share of all")
    legend(axis)
    return svg(figure, "how exposure is spread over the catalogue")


def differences(figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """A panel a figure, a line a part: its difference with its interval; whoever crosses the zero line is unsure."""
    figure, axes = panels(len(figures), 2.8)
    for axis, (name, parts) in zip(axes, figures.items(), strict=True):
        axis.axvline(0, color=INK, linewidth=1)
        for place, one in enumerate(reversed(list(parts.values()))):
            colour = {"helps": COLOURS[2], "hurts": COLOURS[4]}.get(one["verdict"], COLOURS[5])
            axis.plot([one["low"], one["high"]], [place, place], color=colour)
            axis.plot([one["difference"]], [place], "o", color=colour, markersize=5)
        axis.set_yticks(range(len(parts)), list(reversed(list(parts))))
        axis.xaxis.set_major_locator(MaxNLocator(nbins=4))
        axis.set_title(name)
    return svg(figure, "what the whole has over a training without each part")
