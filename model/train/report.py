"""report.html: one file without a server or scripts; figures as tables, plots as inline SVG."""

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.data.log import Dataset
from model.train.evaluate import TOP, Evaluation
from model.train.moments import PAD, Moments
from model.train.system import System

READ_USERS, READ_HISTORY = 10, 8
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #ddd;padding:.25rem .8rem;"
    "text-align:left;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "svg{max-width:100%;height:auto}h2{margin-top:2.5rem}.hit{background:#e3f4e1}"
)


def write_report(
    path: Path,
    dataset: Dataset,
    system: System,
    evaluation: Evaluation,
    curves: Sequence[Mapping[str, float]],
    facts: Mapping[str, Any],
) -> None:
    """Write the report of one evaluation; `curves` are the run's epochs, `facts` what stands at its head."""
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{_text(dataset.name)}: report</title>",
        f"<style>{STYLE}</style><h1>{_text(dataset.name)}</h1>",
        rows_table([(name, _value(value)) for name, value in facts.items()]),
        "<h2>Lists</h2><p>The next item among all that the user has not had, at the moments of the test part.</p>",
        figures_table(evaluation.figures["lists"]),
        "<h2>Tasks</h2>",
        figures_table(evaluation.figures["tasks"]),
        *twins_part(evaluation.figures.get("twins", {})),
        "<h2>Calibration</h2><p>What was said against what came true; on the line is right.</p>",
        _svg(_reliability_plot(evaluation)),
        "<h2>Learning</h2>",
        _svg(_curves_plot(curves)) if curves else "<p>The run's curves are not at hand.</p>",
        "<h2>Exposure</h2>",
        rows_table([(name, _value(value)) for name, value in evaluation.figures["exposure"].items()]),
        _svg(_exposure_plot(evaluation, system)),
        "<h2>Ten users</h2><p>A marked row is what the user took next.</p>",
        *users_to_read(dataset, system, evaluation),
        "</html>",
    ]
    path.write_text("\n".join(parts), encoding="utf-8")


def twins_part(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Each task learned together with the others and alone, where twins were trained."""
    if not figures:
        return []
    return [
        "<h2>Together and alone</h2><p>Each task against its single-task twin, validation part.</p>",
        figures_table(figures),
    ]


def figures_table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """A table of name → figure → value."""
    columns = list(dict.fromkeys(name for one in figures.values() for name in one))
    head = "".join(f"<th>{_text(name)}" for name in ["", *columns])
    body = "".join(
        f"<tr><td>{_text(name)}" + "".join(f"<td class=n>{_value(one.get(column, ''))}" for column in columns)
        for name, one in figures.items()
    )
    return f"<table><tr>{head}{body}</table>"


def rows_table(rows: Sequence[tuple[str, str]]) -> str:
    """A table of two columns."""
    return "<table>" + "".join(f"<tr><td>{_text(left)}<td>{_text(right)}" for left, right in rows) + "</table>"


def users_to_read(dataset: Dataset, system: System, evaluation: Evaluation) -> list[str]:
    """For ten moments spread over the test part: what the user had last, what is recommended, what came."""
    moments = Moments(system.spec, dataset.log, len(dataset.users), timed=system.temporal)
    places = np.unique(np.linspace(0, max(len(evaluation.rows) - 1, 0), READ_USERS).astype(int))
    return [_one_user(dataset, system, evaluation, moments, place) for place in places[: len(evaluation.rows)].tolist()]


def _one_user(dataset: Dataset, system: System, evaluation: Evaluation, moments: Moments, place: int) -> str:
    row = int(evaluation.rows[place])
    had = [item_name(dataset, int(item)) for item in moments.history(row).rows[-READ_HISTORY:][::-1]]
    came = int(dataset.log.item[row])
    lines = [
        f"<h3>{_text(dataset.users.id(int(dataset.log.user[row])))}</h3>",
        f"<p>had, newest first: {_text('; '.join(had)) or 'nothing'}<br>took: {_text(item_name(dataset, came))}</p>",
        "<table><tr><th><th>recommended" + "".join(f"<th>{_text(task.name)}" for task in system.spec.tasks),
    ]
    for rank, item in enumerate(evaluation.lists[place][:TOP].tolist()):
        if item == PAD:
            break
        mark = " class=hit" if item == came else ""
        values = "".join(f"<td class=n>{value:.3f}" for value in evaluation.values[place, rank])
        lines.append(f"<tr{mark}><td class=n>{rank + 1}<td>{_text(item_name(dataset, item))}{values}")
    return "\n".join([*lines, "</table>"])


def item_name(dataset: Dataset, row: int) -> str:
    """An item as people call it: its first text, else its id; with its attributes."""
    texts, told = dataset.item_records.texts(row), dataset.item_records.attributes(row)
    name = next(iter(texts.values()), dataset.items.id(row))
    about = ", ".join(_plain(value) for value in told.values())
    return f"{name[:80]} ({about[:60]})" if about else name[:80]


def _plain(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _reliability_plot(evaluation: Evaluation) -> Figure:
    figure, axes = _panels(max(len(evaluation.reliability), 1), 3.4)
    for axis, (name, bins) in zip(axes, evaluation.reliability.items(), strict=False):
        said, was, _ = (np.asarray(column) for column in zip(*bins, strict=True))
        top = max(float(said.max()), float(was.max()), 1e-6) * 1.05
        axis.plot([0, top], [0, top], color="#bbb", linewidth=1)
        axis.plot(said, was, "o-", color="#2a6f97", markersize=4)
        axis.set(title=name, xlabel="said", ylabel="came true")
    return figure


def _curves_plot(curves: Sequence[Mapping[str, float]]) -> Figure:
    names = list(dict.fromkeys(name for one in curves for name in one if name != "epoch" and "weight" not in name))
    figure, axes = _panels(len(names), 2.4)
    for axis, name in zip(axes, names, strict=False):
        points = [(one["epoch"], one[name]) for one in curves if name in one]
        axis.plot(*zip(*points, strict=True), ".-", color="#2a6f97")
        axis.set_title(name, fontsize=8)
    return figure


def _exposure_plot(evaluation: Evaluation, system: System) -> Figure:
    """Share of recommendations against share of past events, items from most to least popular."""
    figure, (axis, *_) = _panels(1, 3.4)
    popularity = np.bincount(system.known.item, minlength=len(evaluation.exposure))
    order = np.argsort(-popularity, kind="stable")
    share = np.arange(1, len(order) + 1) / max(len(order), 1)
    for counts, name in ((popularity, "past events"), (evaluation.exposure, "recommendations")):
        axis.plot(share, np.cumsum(counts[order]) / max(counts.sum(), 1), label=name)
    axis.set(xlabel="share of the catalogue, most popular first", ylabel="share of all")
    axis.legend()
    return figure


def _panels(count: int, height: float, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels in rows of three."""
    across = min(count, columns)
    down = -(-count // across)
    figure = Figure(figsize=(3.6 * across if across > 1 else 5.0, height * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axis in grid[count:]:
        axis.set_axis_off()
    return figure, list(grid[:count])


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    made = out.getvalue()
    return made[made.index("<svg") :]


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(value: str) -> str:
    return html.escape(value)
