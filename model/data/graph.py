"""The knowledge graph and the user–user links, joined with the ids of the domain."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.config import EntityLink, Graph, Recipe
from model.data.findings import found
from model.data.log import TRAIN, Finding, KnowledgeGraph, Links
from model.data.roles import PART_NAMES
from model.data.tables import Table, open_table
from model.data.values import Coded, coded, rows_of
from model.ids import NO_ROW, IdMap

UNKNOWN = "correct the link table or its map, or leave these links out of it (they are ignored)"


def read_graph(recipe: Recipe, items: IdMap, data_dir: Path | None) -> tuple[KnowledgeGraph | None, list[Finding]]:
    """The graph with each item's entity, and what is wrong with it; None when the recipe declares none."""
    declared = recipe.graph
    if declared is None:
        return None, []
    table = open_table(recipe, declared, data_dir)
    head, relation, tail, findings = _triples(table, declared)
    names = IdMap(dict.fromkeys([*head.values, *tail.values]))
    triples = np.stack([rows_of(names, head), relation.codes, rows_of(names, tail)], axis=1)
    item_entity, more = _item_entities(recipe, declared.link, items, names, data_dir)
    return KnowledgeGraph(tuple(names.names), relation.values, triples, item_entity), findings + more


def _triples(table: Table, declared: Graph) -> tuple[Coded, Coded, Coded, list[Finding]]:
    """The three columns without incomplete rows."""
    names = [declared.head, declared.relation, declared.tail]
    table.require(names)
    frame = table.read(names, names)
    columns = [coded(frame[name]) for name in names]
    bad = np.any([column.codes < 0 for column in columns], axis=0)
    shown = frame.astype(object).apply(tuple, axis=1).to_numpy(object) if bad.any() else np.empty(len(frame), object)
    findings = found("incomplete triples", table.name, bad, shown, "give head, relation and tail (rows are left out)")
    head, relation, tail = (column.take(np.flatnonzero(~bad)) for column in columns)
    return head, relation, tail, findings


def _item_entities(
    recipe: Recipe, link: EntityLink | None, items: IdMap, entities: IdMap, data_dir: Path | None
) -> tuple[NDArray[np.int64], list[Finding]]:
    """Each item's entity, int64 [N], NO_ROW where it has none; without a link table the one of the same name."""
    if link is None:
        return np.asarray(entities.rows(items.names), np.int64), []
    item, entity, findings = _link_rows(recipe, link, data_dir)
    rows, places = rows_of(items, item), rows_of(entities, entity)
    findings += found("links to unknown items", link.path, rows < 0, item.objects(), UNKNOWN)
    findings += found("links to unknown entities", link.path, places < 0, entity.objects(), UNKNOWN)
    good = (rows >= 0) & (places >= 0)
    made = np.full(len(items), NO_ROW, np.int64)
    made[rows[good][::-1]] = places[good][::-1]  # an item linked twice keeps its first entity
    return made, findings


def _link_rows(recipe: Recipe, link: EntityLink, data_dir: Path | None) -> tuple[Coded, Coded, list[Finding]]:
    """Item and entity of each link, the items in the catalogue's words where the recipe declares a map."""
    item, entity = _texts(open_table(recipe, link, data_dir), [link.item, link.entity])
    if link.map is None:
        return item, entity, []
    source, target = _texts(open_table(recipe, link.map, data_dir), [link.map.source, link.map.target])
    known = pd.DataFrame({"item": source.objects(), "ours": target.objects()})
    links = pd.DataFrame({"item": item.objects(), "entity": entity.objects()}).merge(known, how="left", on="item")
    away = links["ours"].isna().to_numpy()
    move = "add them to the map if they are in the catalogue (ignored)"
    findings = found("links that the map does not hold", link.path, away, links["item"].to_numpy(object), move)
    links = links[~away]
    return coded(links["ours"]), coded(links["entity"]), findings


def _texts(table: Table, columns: list[str]) -> list[Coded]:
    """Columns of a table as texts."""
    table.require(columns)
    frame = table.read(columns, columns)
    return [coded(frame[name]) for name in columns]


def read_links(recipe: Recipe, users: IdMap, frame: pd.DataFrame | None) -> tuple[Links | None, list[Finding]]:
    """User–user links from the frame of `link_frame`; a mutual link is kept once, a link to oneself not at all."""
    declared = recipe.links
    if declared is None or frame is None:
        return None, []
    source, target = coded(frame[declared.source]), coded(frame[declared.target])
    pairs = np.stack([rows_of(users, source), rows_of(users, target)], axis=1)
    bad = (pairs < 0).any(1) | (pairs[:, 0] == pairs[:, 1])
    findings = found("bad links", declared.path, bad, source.objects(), "link two different users (rows are left out)")
    split = _link_parts(frame, declared.split)
    ordered = np.sort(pairs, axis=1) if declared.mutual else pairs
    twice = pd.DataFrame(ordered).duplicated().to_numpy()
    keep = ~bad & ~twice
    return Links(pairs[keep], split[keep]), findings


def link_frame(recipe: Recipe, data_dir: Path | None) -> pd.DataFrame | None:
    """The links table's columns as texts, None when the recipe declares none."""
    declared = recipe.links
    if declared is None:
        return None
    table = open_table(recipe, declared, data_dir)
    names = [declared.source, declared.target, *([declared.split] if declared.split else [])]
    table.require(names)
    return table.read(names, names)


def linked_users(recipe: Recipe, frame: pd.DataFrame | None) -> list[str]:
    """Ids that the links mention."""
    if recipe.links is None or frame is None:
        return []
    return [value for name in (recipe.links.source, recipe.links.target) for value in coded(frame[name]).values]


def _link_parts(frame: pd.DataFrame, column: str | None) -> NDArray[np.int8]:
    """The part of each link; all train without a column."""
    if column is None:
        return np.full(len(frame), TRAIN, np.int8)
    return np.asarray([PART_NAMES.get(str(value).lower(), TRAIN) for value in frame[column]], np.int8)
