"""Cross-checks of a recipe: what one table says must fit what the others say."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from model.config.problems import Conflict, first_problem
from model.config.training import PROFILES, Training

if TYPE_CHECKING:
    from model.config.recipe import Recipe


def cross_check(recipe: "Recipe") -> None:
    """Raise Conflict about the first pair of keys that do not fit."""
    for rule in (_names, _times, _events, _side_tasks, _chains, _blend, _profiles):
        rule(recipe)


def _names(recipe: "Recipe") -> None:
    _unique("tasks", [task.name for task in recipe.tasks])
    if not recipe.pair_tasks:
        kinds = [task.kind for task in recipe.tasks]
        raise Conflict("tasks", kinds, "add a pair task: binary, regression, ordinal or next_item")
    for place, table in enumerate(recipe.interactions):
        _unique(f"interactions.{place}.context", [column.name for column in table.context])


def _times(recipe: "Recipe") -> None:
    for place, table in enumerate(recipe.interactions):
        key, kind = f"interactions.{place}", recipe.split.kind
        if kind == "time" and table.timestamp is None:
            raise Conflict(key, table.path, "a split by time needs its timestamp; add it or use kind = 'leave_last'")


def _events(recipe: "Recipe") -> None:
    if all(table.event is None for table in recipe.interactions):
        raise Conflict("interactions", [table.path for table in recipe.interactions], "name an event: event = 'view'")
    if known := declared_events(recipe):
        _among("serving.seen", recipe.serving.seen, known)


def declared_events(recipe: "Recipe") -> list[str]:
    """Event types the recipe declares; empty when any table takes them from a column as they come."""
    if any(table.event is not None and not table.event_types for table in recipe.interactions):
        return []
    return list(dict.fromkeys(name for table in recipe.interactions for name in table.event_types))


def _side_tasks(recipe: "Recipe") -> None:
    needs = {
        "graph_links": ("graph", recipe.graph),
        "item_attributes": ("items", recipe.items),
        "user_profile": ("users", recipe.users),
    }
    for task in recipe.side_tasks:
        table, found = needs.get(task.kind, ("", task))
        if found is None:
            raise Conflict(f"tasks.{task.name}", task.kind, f"such a task needs the table [{table}]; add it")
        if task.kind == "scene" and not recipe.context_names:
            raise Conflict(
                f"tasks.{task.name}", task.kind, "it tells context columns; name some in [interactions] context"
            )
        entities = recipe.items if task.kind == "item_attributes" else recipe.users
        _among(f"tasks.{task.name}.attributes", task.attributes, entities.attributes if entities else ())


def _chains(recipe: "Recipe") -> None:
    before = {task.name: task.after for task in recipe.tasks if task.kind == "binary"}
    for name, one in before.items():
        way = [name]
        while one is not None:
            if one not in before:
                raise Conflict(f"tasks.{way[-1]}.after", one, f"use a binary task: {', '.join(sorted(before))}")
            if one in way:
                raise Conflict(f"tasks.{name}.after", " after ".join([*way, one]), "a chain must begin somewhere")
            way.append(one)
            one = before[one]


def _blend(recipe: "Recipe") -> None:
    _among("serving.blend", recipe.serving.blend, [task.name for task in recipe.pair_tasks])


def _profiles(recipe: "Recipe") -> None:
    for name in sorted({*PROFILES, *recipe.training.profiles}):
        try:
            recipe.training.profile(name)
        except ValidationError as error:
            key, found, move = first_problem(Training, error)
            raise Conflict(f"training.profiles.{name}.{key}", found, move) from None


def _unique(key: str, names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Conflict(key, twice, "give each its own name")


def _among(key: str, names: Iterable[str], known: Iterable[str]) -> None:
    if unknown := sorted(set(names) - set(known)):
        raise Conflict(key, unknown, f"use some of {', '.join(known) or 'none'}")
