"""From a recipe and its files to a Dataset."""

import time as clock
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from model.config import Recipe
from model.data.assemble import assemble
from model.data.findings import bad_ids, found
from model.data.graph import link_frame, linked_users, read_graph, read_links
from model.data.interactions import Rows, read_interactions
from model.data.log import IMPRESSION, Dataset, Finding
from model.data.people import check_link_event
from model.data.records import read_entities
from model.data.scenes import scene_rules
from model.data.values import Coded
from model.ids import IdMap


def load(recipe: Recipe, data_dir: Path | str | None = None, now: float | None = None) -> Dataset:
    """Read every table of a recipe (paths relative to `data_dir`, when given) into arrays.

    Rows that cannot be used are left out and told of in `Dataset.findings` (`model.data.checks` judges them). `now`
    (epoch seconds, default: the clock) is what timestamps are compared with. Raises RecipeError for expressions and
    DataError for tables that cannot be read at all.
    """
    folder = Path(data_dir) if data_dir is not None else None
    scene_rules(recipe)
    read = read_interactions(recipe, folder, clock.time() if now is None else now)
    item_rows, user_rows = (read_entities(recipe, one, folder) for one in (recipe.items, recipe.users))
    tables, unknown = _in_catalogue(recipe, read, set(item_rows.ids))
    friends = link_frame(recipe, folder)
    items = _id_map(item_rows.ids, [rows.item for rows in tables])
    users = _id_map(user_rows.ids, [rows.user for rows in tables], linked_users(recipe, friends))
    whole = assemble(recipe, tables, items, users)
    check_link_event(recipe, whole.event_types)
    graph, graph_findings = read_graph(recipe, items, folder)
    links, link_findings = read_links(recipe, users, friends)
    events = whole.log.type != IMPRESSION
    findings = [finding for rows in read for finding in rows.findings] + item_rows.findings + user_rows.findings
    findings += unknown + graph_findings + link_findings
    return Dataset(
        name=recipe.name,
        items=items,
        users=users,
        event_types=whole.event_types,
        task_names=tuple(task.name for task in recipe.pair_tasks),
        context_names=recipe.context_names,
        context_values=whole.context_values,
        log=whole.log.take(events),
        impressions=whole.log.take(~events),
        item_records=item_rows.records(items),
        user_records=user_rows.records(users),
        graph=graph,
        links=links,
        findings=tuple(findings),
    )


def _in_catalogue(recipe: Recipe, tables: Sequence[Rows], known: set[str]) -> tuple[list[Rows], list[Finding]]:
    """The rows whose items are in the items table (all when it adds unknown ones), and a word about the others."""
    if recipe.items is None:
        return list(tables), []
    kept: list[Rows] = []
    findings: list[Finding] = []
    add, path = recipe.items.unknown == "add", recipe.items.path
    move = f"add them to {path}" + ("" if add else ", or set items.unknown = 'add' to keep them (rows are left out)")
    for rows, declared in zip(tables, recipe.interactions, strict=True):
        away = np.asarray([*(value not in known for value in rows.item.values), False], bool)[rows.item.codes]
        findings += found("events of unknown items", declared.path, away, rows.item.objects(), move)
        kept.append(rows if add else rows.take(np.flatnonzero(~away)))
    return kept, findings


def _id_map(first: Iterable[str], columns: Sequence[Coded], more: Sequence[str] = ()) -> IdMap:
    """Ids of a table, then those seen in the log in order of first mention, then others that are sound."""
    seen = [column.values[code] for column in columns for code in np.unique(column.codes).tolist()]
    good = [value for value, bad in zip(more, bad_ids(more)[:-1], strict=True) if not bad]
    return IdMap(dict.fromkeys([*first, *seen, *good]))
