"""Every data check of a recipe: what loading found, and what only the whole shows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from model.config import Recipe, Task
from model.data.agreement import Agreement, agreement
from model.data.findings import EXAMPLES
from model.data.log import PARTS, Dataset, Finding
from model.errors import DataError

AGREE = "entities agree with the attributes"
WRONG_JOIN = "the link table seems to be keyed by other ids: correct graph.link or give it a map"
UNKNOWN_ITEMS = "events of unknown items"
INTERACTIONS, ENTITIES, GRAPH, LINKS = "interactions", "items or users", "graph", "links"


@dataclass(frozen=True, slots=True)
class Check:
    """One check's outcome: `count` of `of` things are at fault; ten `examples`, what to do about them, a `note`."""

    name: str
    passed: bool
    count: int
    of: int
    examples: tuple[str, ...]
    move: str
    note: str = ""

    def lines(self) -> list[str]:
        """What `polyrank check` prints."""
        move = self.move if self.count or not self.passed else ""
        head = f"{'PASS' if self.passed else 'FAIL'}  {self.name}: {self.count} of {self.of}"
        head = "; ".join(part for part in (head, self.note, move) if part)
        return [head, *(f"        {example}" for example in self.examples[:EXAMPLES])]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A finding's name, the kind of table it can occur in, and the share of rows up to which it only is reported."""

    name: str
    table: str
    share: float = 0.0


TOLERANCES = (
    Tolerance("bad user ids", INTERACTIONS),
    Tolerance("bad item ids", INTERACTIONS),
    Tolerance("bad timestamps", INTERACTIONS),
    Tolerance("future timestamps", INTERACTIONS),
    Tolerance("bad numbers in the log", INTERACTIONS),
    Tolerance("unknown events", INTERACTIONS),
    Tolerance("bad split", INTERACTIONS),
    Tolerance(UNKNOWN_ITEMS, INTERACTIONS, 0.01),
    Tolerance("bad ids", ENTITIES),
    Tolerance("duplicate ids", ENTITIES),
    Tolerance("bad numbers", ENTITIES),
    Tolerance("empty text", ENTITIES, 0.5),
    Tolerance("incomplete triples", GRAPH),
    Tolerance("links that the map does not hold", GRAPH, 0.2),
    Tolerance("links to unknown items", GRAPH, 0.2),
    Tolerance("links to unknown entities", GRAPH, 0.2),
    Tolerance("bad links", LINKS),
)


def run_checks(recipe: Recipe, dataset: Dataset, seed: int = 0) -> list[Check]:
    """Every check that the recipe's tables call for, in the order of loading; `seed` is for the graph's shuffles."""
    declared = {
        INTERACTIONS: True,
        ENTITIES: recipe.items is not None or recipe.users is not None,
        GRAPH: recipe.graph is not None,
        LINKS: recipe.links is not None,
    }
    checks = [_judged(_asked_for(recipe, one), dataset) for one in TOLERANCES if declared[one.table]]
    checks += [_duplicates(dataset), _parts(recipe, dataset), _event_types(dataset)]
    checks += [_task(dataset, task, column) for column, task in enumerate(recipe.pair_tasks)]
    return checks + _graph_checks(dataset, np.random.default_rng(seed))


def refuse_failures(checks: Iterable[Check]) -> None:
    """Raise DataError about the first check that failed."""
    for check in checks:
        if not check.passed:
            examples = ", ".join(check.examples[:3])
            raise DataError(f"check {check.name}", f"{check.count} of {check.of}", f"{check.move} ({examples})")


def _asked_for(recipe: Recipe, tolerance: Tolerance) -> Tolerance:
    """The tolerance as the recipe has it: who adds unknown items to the catalogue expects any number of them."""
    added = tolerance.name == UNKNOWN_ITEMS and recipe.items is not None and recipe.items.unknown == "add"
    return replace(tolerance, share=1.0) if added else tolerance


def _judged(tolerance: Tolerance, dataset: Dataset) -> Check:
    """Findings of one name over all tables."""
    mine = [finding for finding in dataset.findings if finding.name == tolerance.name]
    rows = sum(finding.rows for finding in mine)
    of = sum(finding.of for finding in mine) or _checked(tolerance.table, dataset)
    passed = all(finding.rows <= tolerance.share * finding.of for finding in mine)
    examples = tuple(example for finding in mine for example in _placed(finding, len(mine) > 1))
    return Check(tolerance.name, passed, rows, of, examples[:EXAMPLES], mine[0].move if mine else "")


def _placed(finding: Finding, named: bool) -> list[str]:
    return [f"{finding.table} {example}" if named else example for example in finding.examples]


def _checked(table: str, dataset: Dataset) -> int:
    """Rows that a check without findings has looked at."""
    sizes: dict[str, Callable[[], int]] = {
        INTERACTIONS: lambda: len(dataset.log) + len(dataset.impressions),
        ENTITIES: lambda: len(dataset.items) + len(dataset.users),
        GRAPH: lambda: len(dataset.graph.triples) if dataset.graph else 0,
        LINKS: lambda: len(dataset.links.pairs) if dataset.links else 0,
    }
    return sizes[table]()


def _duplicates(dataset: Dataset) -> Check:
    """The same event twice: told, and refused when it is more than one in ten."""
    log = dataset.log
    columns = {"user": log.user, "item": log.item, "type": log.type, "time": log.time, "value": log.value}
    twice = pd.DataFrame(columns).duplicated().to_numpy() & ~np.isnan(log.time)
    rows = np.flatnonzero(twice)
    examples = tuple(_event(dataset, row) for row in rows[:EXAMPLES].tolist())
    move = "an event that is written twice counts twice; leave one of them out"
    return Check("events written twice", len(rows) <= 0.1 * len(log), len(rows), len(log), examples, move)


def _event(dataset: Dataset, row: int) -> str:
    log = dataset.log
    kind = dataset.event_types[log.type[row] - 1]
    return (
        f"{kind} of {dataset.items.id(log.item[row])!r} by {dataset.users.id(log.user[row])!r} at {log.time[row]:.0f}"
    )


def _parts(recipe: Recipe, dataset: Dataset) -> Check:
    """Train, valid and test all have events; who says with a column what trains may keep the test part elsewhere."""
    sizes = np.bincount(dataset.log.split, minlength=len(PARTS)).tolist()
    empty = [name for name, size in zip(PARTS, sizes, strict=True) if not size]
    examples = tuple(f"{name}: {size} events" for name, size in zip(PARTS, sizes, strict=True))
    elsewhere = recipe.split.kind == "column" and empty == ["test"]
    move = "the report will measure nothing" if elsewhere else "choose another [split]"
    return Check("parts without events", elsewhere or not empty, len(empty), len(PARTS), examples, move)


def _event_types(dataset: Dataset) -> Check:
    """Every event type occurs."""
    sizes = np.bincount(dataset.log.type, minlength=len(dataset.event_types) + 1)[1:].tolist()
    away = tuple(name for name, size in zip(dataset.event_types, sizes, strict=True) if not size)
    move = "correct its spelling in the recipe, or leave it out"
    return Check("event types that never occur", not away, len(away), len(sizes), away, move)


def _task(dataset: Dataset, task: Task, column: int) -> Check:
    """A task's training labels can be learnt from: two classes (or one and sampled negatives), two values, targets."""
    train = [log.part(0).labels[:, column] for log in (dataset.log, dataset.impressions)]
    labels = np.concatenate(train)
    known = labels[~np.isnan(labels)]
    values, counts = np.unique(known, return_counts=True)
    examples = tuple(f"label {value:g}: {count} rows" for value, count in zip(values, counts, strict=True))
    problem = _problem(task, values.tolist())
    name = f"task {task.name}: {problem or 'labels'}"
    return Check(name, not problem, len(known) if problem else 0, len(labels), examples, "correct its label and given")


def _problem(task: Task, values: Sequence[float]) -> str | None:
    """Why a task cannot be learnt from these label values, None when it can."""
    if not values:
        return "no training row carries its label"
    if task.kind == "binary":
        if not set(values) <= {0.0, 1.0}:
            return "labels other than 0 and 1"
        enough = {1.0} if task.negatives else {0.0, 1.0}
        return None if enough <= set(values) else "one class only"
    if task.kind in ("regression", "ordinal") and len(values) < 2:
        return "one value only"
    return None


def _graph_checks(dataset: Dataset, rng: np.random.Generator) -> list[Check]:
    """Enough items are in the graph, and their entities agree with their attributes."""
    if dataset.graph is None:
        return []
    away = np.flatnonzero(dataset.graph.item_entity < 0)
    names = tuple(dataset.items.id(row) for row in away[:EXAMPLES].tolist())
    few = len(away) > 0.95 * len(dataset.items)
    linked = Check("items without an entity", not few, len(away), len(dataset.items), names, "correct graph.link")
    found = agreement(dataset.graph, dataset.item_records, rng)
    pairs, wrong = len(found.pairs), 0 if found.holds else len(found.pairs)
    return [linked, Check(AGREE, found.holds, wrong, pairs, _lines(found), WRONG_JOIN, str(found) if pairs else "")]


def _lines(found: Agreement) -> tuple[str, ...]:
    return tuple(str(pair) for pair in found.pairs[:EXAMPLES])
