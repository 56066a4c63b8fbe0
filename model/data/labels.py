"""Labels of the pair tasks: the recipe's expressions over the rows of a table, and labels that look ahead."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.config import Recipe, Task
from model.features.rules import Rule, parse_rule
from model.features.truth import Column


@dataclass(frozen=True, slots=True)
class TaskRules:
    """A pair task with its parsed expressions."""

    task: Task
    label: Rule | None
    given: Rule | None

    @classmethod
    def of(cls, task: Task, known: Collection[str]) -> "TaskRules":
        """Parse a task's expressions; raises RecipeError for one that does not parse or reads an unknown column."""
        label, given = (_rule(f"task {task.name}: {key}", getattr(task, key), known) for key in ("label", "given"))
        return cls(task, label, given)

    def labels(self, columns: Mapping[str, Column], rows: int) -> NDArray[np.float64]:
        """What `label` says of each row, float64 [rows], NaN for unknown; next_item knows only targets (1)."""
        found = self.label.column(columns, rows) if self.label else np.ones(rows)
        return np.where(found == 1, 1.0, np.nan) if self.task.kind == "next_item" else found

    def asked(self, columns: Mapping[str, Column], rows: int) -> NDArray[np.bool_]:
        """Which rows carry the label, bool [rows]."""
        return self.given.column(columns, rows) == 1 if self.given else np.ones(rows, bool)


@dataclass(frozen=True, slots=True)
class Labels:
    """The expressions of all pair tasks, in the order of the label columns, and the one that says what validates."""

    tasks: tuple[TaskRules, ...]
    valid: Rule | None

    @classmethod
    def of(cls, recipe: Recipe, known: Collection[str]) -> "Labels":
        """Parse a recipe's expressions; raises RecipeError for one that does not parse or reads an unknown column."""
        tasks = tuple(TaskRules.of(task, known) for task in recipe.pair_tasks)
        return cls(tasks, _rule("split: valid_when", recipe.split.valid_when, known))

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that any expression reads."""
        rules = [self.valid, *(rule for task in self.tasks for rule in (task.label, task.given))]
        return tuple(dict.fromkeys(name for rule in rules if rule for name in rule.names))

    def validates(self, columns: Mapping[str, Column], rows: int) -> NDArray[np.bool_]:
        """Which rows `valid_when` names, bool [rows]."""
        return self.valid.column(columns, rows) == 1 if self.valid else np.zeros(rows, bool)

    def of_rows(self, columns: Mapping[str, Column], rows: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """What the labels say, float32 [rows, T], and which rows carry them, bool [rows, T]."""
        labels = np.stack([task.labels(columns, rows) for task in self.tasks], axis=1)
        return labels.astype(np.float32), np.stack([task.asked(columns, rows) for task in self.tasks], axis=1)


def _rule(what: str, text: str | None, known: Collection[str]) -> Rule | None:
    if text is None:
        return None
    rule = parse_rule(text, what)
    rule.check(known, what)
    return rule


def look_ahead(
    label: NDArray[np.float32], group: NDArray[np.int64], time: NDArray[np.float64], horizon: float
) -> NDArray[np.float32]:
    """1 where a row of the same group at the same time or at most `horizon` later has label 1, else 0; float32 [n]."""
    hit = label == 1
    order = np.lexsort((hit, time, group))
    places = np.arange(len(order))
    next_hit = np.where(hit[order], places, len(order))
    next_hit = np.minimum.accumulate(next_hit[::-1])[::-1]
    there = np.minimum(next_hit, len(order) - 1)
    same = (next_hit < len(order)) & (group[order][there] == group[order])
    near = time[order][there] - time[order] <= horizon
    found = np.zeros(len(label), np.float32)
    found[order] = same & near
    return found
