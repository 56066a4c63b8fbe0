"""report.html: one file without a server or scripts; figures as tables, plots as inline SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.data.log import Dataset
from model.data.spec import context_table
from model.train import plots
from model.train.evaluate import TOP, Evaluation
from model.train.moments import PAD, Moments
from model.train.page import figures_table, page, rows_table, text
from model.train.system import System

READ_USERS, READ_HISTORY = 10, 8
Part = tuple[str, list[str]]


def write_report(
    path: Path,
    dataset: Dataset,
    system: System,
    evaluation: Evaluation,
    curves: Sequence[Mapping[str, float]],
    facts: Mapping[str, Any],
) -> None:
    """Write the report of one evaluation; `curves` are the run's epochs, `facts` what stands at its head."""
    figures = evaluation.figures
    parts = [
        ("Lists", lists_part(figures)),
        ("Tasks", [figures_table(figures["tasks"], "task")]),
        ("Together and alone", twins_part(figures)),
        ("Calibration", calibration_part(evaluation)),
        ("Number of interactions", amounts_part(figures)),
        ("Exposure", exposure_part(evaluation, system)),
        ("Groups of users", groups_part(figures)),
        ("Learning", learning_part(curves)),
        ("Ten users", ["<p>A marked row is what the user took next.</p>", *users_to_read(dataset, system, evaluation)]),
    ]
    head = [rows_table(list(facts.items()))]
    path.write_text(page(dataset.name, head, [(name, lines) for name, lines in parts if lines]), encoding="utf-8")


def lists_part(figures: Mapping[str, Any]) -> list[str]:
    """The system's lists against its peers'."""
    what = f"The next item among all that the user has not had, at {figures['moments']} moments of the test part."
    return [f"<p>{what}</p>", figures_table(figures["lists"], "system")]


def twins_part(figures: Mapping[str, Any]) -> list[str]:
    """Each task learned together with the others and alone, where twins were trained."""
    if not figures.get("twins"):
        return []
    what = (
        "Rankers of all tasks together and of each task alone, over the same towers and trained on the same slates: "
        "the difference on the test part with its 95 % interval (slates and seeds drawn again), and what it says of "
        "learning together."
    )
    return [f"<p>{what}</p>", figures_table(figures["twins"], "task, figure")]


def calibration_part(evaluation: Evaluation) -> list[str]:
    """Reliability of the binary tasks."""
    if not evaluation.reliability:
        return []
    errors = {name: one["ece"] for name, one in evaluation.figures["tasks"].items() if "ece" in one}
    what = "What was said against what came true: on the line is right. The error is the mean distance from it."
    return [f"<p>{what}</p>", plots.reliability(evaluation.reliability, errors)]


def amounts_part(figures: Mapping[str, Any]) -> list[str]:
    """Quality by how much was known of the user and of the item."""
    known, items = figures.get("known", {}), figures.get("items", {})
    if not known and not items:
        return []
    what = (
        "Users: the same moments each time, of which only so many of the newest events are told; what the user had is "
        "never listed. Items: by how many events the item that was taken, or judged, had in training."
    )
    tables = [figures_table(known, "events told of the user")] if known else []
    return [f"<p>{what}</p>", plots.by_amount(known, items), *tables, figures_table(items, "events of the item")]


def exposure_part(evaluation: Evaluation, system: System) -> list[str]:
    """Which items are shown, and how unevenly."""
    figures = evaluation.figures
    counts = np.bincount(system.known.item, minlength=len(evaluation.exposure))
    tenths = figures.get("exposure_by_popularity", {})
    more = [plots.exposure(tenths), figures_table(tenths, "tenth")] if tenths else []
    return [rows_table(list(figures["exposure"].items())), plots.lorenz(counts, evaluation.exposure), *more]


def learning_part(curves: Sequence[Mapping[str, float]]) -> list[str]:
    """What was measured after each epoch."""
    if not curves:
        return ["<p>The run's curves are not at hand.</p>"]
    return ["<p>By epoch; the ranker's tasks are learned together.</p>", plots.curves(curves)]


def groups_part(figures: Mapping[str, Any]) -> list[str]:
    """Quality by group of users, and the largest gap of each attribute."""
    groups, gaps = figures.get("groups", {}), figures.get("gaps", {})
    if not groups:
        return []
    what = (
        "NDCG@10 of the groups at either end, and what it differs by, with the 95 % interval when users are drawn "
        "again: the more groups, the wider apart its ends are by chance alone."
    )
    lines = [f"<p>{what}</p>", figures_table(gaps, "largest gap")] if gaps else []
    for name, one in groups.items():
        lines += [f"<h3>{text(name)}</h3>", figures_table(one, "group")]
    return lines


def users_to_read(dataset: Dataset, system: System, evaluation: Evaluation) -> list[str]:
    """For ten moments spread over the test part: what the user had last, what is recommended, what came."""
    contexts = context_table(system.spec, dataset, dataset.log)
    moments = Moments(system.spec, dataset.log, len(dataset.users), system.temporal, contexts=contexts)
    places = np.unique(np.linspace(0, max(len(evaluation.rows) - 1, 0), READ_USERS).astype(int))
    return [_one_user(dataset, system, evaluation, moments, place) for place in places[: len(evaluation.rows)].tolist()]


def _one_user(dataset: Dataset, system: System, evaluation: Evaluation, moments: Moments, place: int) -> str:
    row = int(evaluation.rows[place])
    had = [item_name(dataset, int(item)) for item in moments.history(row).rows[-READ_HISTORY:][::-1]]
    came = int(dataset.log.item[row])
    lines = [
        f"<h3>User {text(dataset.users.id(int(dataset.log.user[row])))}</h3>",
        f"<p>had, newest first: {text('; '.join(had)) or 'nothing'}<br>took: {text(item_name(dataset, came))}</p>",
        "<table><tr><th><th>recommended" + "".join(f"<th class=n>{text(task.name)}" for task in system.spec.tasks),
    ]
    for rank, item in enumerate(evaluation.lists[place][:TOP].tolist()):
        if item == PAD:
            break
        mark = " class=hit" if item == came else ""
        values = "".join(f"<td class=n>{value:.3f}" for value in evaluation.values[place, rank])
        lines.append(f"<tr{mark}><td class=n>{rank + 1}<td>{text(item_name(dataset, item))}{values}")
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


def write_ablation(path: Path, name: str, found: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write the report of an ablation: `found` is part → figure → whole, without, difference, low, high, verdict."""
    what = (
        "What the whole has over a training without the part, on the same moments of the test part, with the 95 % "
        "interval when moments and seeds are drawn again. Of an RMSE less is better: there a negative difference "
        "helps. One seed's training also holds the luck of where it stopped: several seeds tell more."
    )
    names = list(next(iter(found.values()), {}))
    by_figure = {name: {part: one[name] for part, one in found.items()} for name in names}
    parts = [(figure, [figures_table(one, "without")]) for figure, one in by_figure.items()]
    head = [rows_table(list(facts.items())), f"<p>{what}</p>", plots.differences(by_figure)]
    path.write_text(page(f"{name}: what each part is worth", head, parts), encoding="utf-8")
