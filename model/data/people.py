"""People as a catalogue: whom to befriend or follow is learned from links as what to choose is from interactions.

A user stands there with the profile and with what the log says of their tastes; links are events, and so is everybody
of themselves, so that who is alike, or has friends in common, is near what stands in one's own history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.config import Links as Declared
from model.config import Recipe
from model.data.log import TRAIN, VALID, Dataset, KnowledgeGraph, Links, Log, Records
from model.errors import RecipeError
from model.features.spec import Values

SELF, BACK = "self", "linked_by"  # event types beside the links' own: of oneself, and (of links one way) of the others
LIKED, MOST_ITEMS, MOST_KINDS = "liked", 100, 10  # relation to the items a user has most to do with; most of them
TASK = "link"
LOT = 0  # seed of the order of links, which have none


def check_link_event(recipe: Recipe, event_types: Sequence[str]) -> None:
    """Raise RecipeError where links' event type is also one of items: feedback could mean either."""
    if recipe.links is not None and (name := recipe.links.event) in (*event_types, SELF, BACK):
        raise RecipeError(
            "links.event", name, f"give links an event type of their own, none of {', '.join(event_types)}"
        )


def people_recipe(recipe: Recipe) -> Recipe:
    """The recipe of the catalogue of people; training is set as the domain's own is."""
    declared = _declared(recipe)
    table = {"path": declared.path, "user": declared.source, "item": declared.target}
    told = recipe.users.model_dump(exclude={"text", "path"}) if recipe.users else {"id": "user_id"}
    profile: dict[str, Any] = told | {"path": declared.path}
    events = [declared.event, SELF, *([] if declared.mutual else [BACK])]
    linked = f"event == {declared.event!r}"  # quoted, whatever the name holds
    tasks: list[dict[str, object]] = [
        {"name": TASK, "kind": "binary", "label": linked, "given": linked, "negatives": 4}
    ]
    if recipe.users and recipe.users.attributes:
        tasks.append({"name": "alike", "kind": "item_attributes", "weight": 0.1})
    return Recipe.parse(
        {
            "name": f"{recipe.name}: people",
            "interactions": [table | {"event": one} for one in events],
            "items": profile,
            "users": profile,
            "graph": {"path": declared.path},
            "split": {"kind": "column"},
            "tasks": tasks,
            "training": recipe.training.model_dump(exclude_unset=True) | {"twins": False},  # there is one task
            "serving": {"blend": {TASK: 1.0}, "seen": [declared.event, SELF]},
        }
    )


def people_dataset(recipe: Recipe, dataset: Dataset) -> Dataset:
    """The dataset of the catalogue of people: its items are the users; only for a recipe whose links were read."""
    declared, links = _declared(recipe), dataset.links
    assert links is not None  # the caller asks only where there are some
    told = Records({}, dataset.user_records.values)
    return replace(
        dataset,
        name=f"{dataset.name}: people",
        items=dataset.users,
        event_types=(declared.event, SELF, *(() if declared.mutual else (BACK,))),
        task_names=(TASK,),
        context_names=(),
        context_values=(),
        log=_events(_parted(links), declared.mutual, len(dataset.users)),
        impressions=_log(np.empty((0, 3), np.int64), np.empty(0, np.int8)),
        item_records=told,
        user_records=told,
        graph=tastes(recipe, dataset),
        links=None,
        findings=(),
    )


def _declared(recipe: Recipe) -> Declared:
    assert recipe.links is not None  # as above
    return recipe.links


def _parted(links: Links) -> Links:
    """Links with parts: where none validates, a tenth of those that train does, by lot.

    None tests but what the table says: a bundle offers links that it does not know, and known friends are no news.
    """
    split, train = links.split.copy(), np.flatnonzero(links.split == TRAIN)
    if not (split == VALID).any():
        split[np.random.default_rng(LOT).permutation(train)[: len(train) // 10]] = VALID
    return Links(links.pairs, split)


def _events(links: Links, mutual: bool, users: int) -> Log:
    """Links both ways and everybody's own event, by part and else by lot."""
    there, back, own = links.pairs, links.pairs[:, ::-1], np.repeat(np.arange(users)[:, None], 2, axis=1)
    types = np.repeat([1, 1 if mutual else 3, 2], [len(there), len(back), users])
    rows = np.column_stack([np.concatenate([there, back, own]), types])
    split = np.concatenate([links.split, links.split, np.full(users, TRAIN, np.int8)])
    order = np.lexsort((np.random.default_rng(LOT).permutation(len(rows)), split))
    return _log(rows[order], split[order])


def _log(rows: NDArray[np.int64], split: NDArray[np.int8]) -> Log:
    """A log of rows (user, person, event type) [n, 3] without times, labelled where somebody links."""
    size = len(rows)
    labels = np.where(rows[:, 2:] == 1, np.float32(1), np.float32(np.nan))
    nothing = np.full(size, np.nan)
    return Log(
        user=rows[:, 0],
        item=rows[:, 1],
        type=rows[:, 2],
        value=nothing.astype(np.float32),
        time=nothing,
        order=np.arange(size),
        context=np.zeros((size, 0), np.int64),
        labels=labels,
        split=split,
    )


def tastes(recipe: Recipe, dataset: Dataset) -> KnowledgeGraph:
    """Users, the items each had most to do with, and the kinds of these, as a graph: who shares what is rare is alike.

    It is learned from and never told: facts of one user are no reasons to be shown to another.
    """
    known = dataset.log.part(TRAIN, VALID) if recipe.training.refit else dataset.log.part(TRAIN)
    frame = pd.DataFrame({"user": known.user, "item": known.item, "value": known.value, "times": 1})
    met = frame.groupby(["user", "item"], as_index=False).agg({"times": "sum", "value": "max"})
    met = met.sort_values(["times", "value"], ascending=False, kind="stable", na_position="last")
    met = met[met.groupby("user").cumcount() < MOST_ITEMS]
    entities = [*dataset.users.names, *dataset.items.names]
    triples = [np.column_stack([met["user"], np.zeros(len(met), np.int64), len(dataset.users) + met["item"]])]
    kinds = _kinds(recipe, dataset)
    for number, values in enumerate(kinds.values(), 1):
        told = [(user, one) for user, item in zip(met["user"], met["item"], strict=True) for one in values[item]]
        counts = pd.DataFrame(told, columns=["user", "kind"]).value_counts().reset_index()  # most first
        counts = counts[counts.groupby("user").cumcount() < MOST_KINDS]
        places, names = pd.factorize(counts["kind"])
        heads, relation = counts["user"].to_numpy(np.int64), np.full(len(counts), number)
        triples.append(np.column_stack([heads, relation, len(entities) + places]))
        entities += [str(name) for name in names]
    relations = (LIKED, *(f"{LIKED} {name}" for name in kinds))
    whole = np.concatenate(triples).astype(np.int64)
    return KnowledgeGraph(tuple(entities), relations, whole, np.arange(len(dataset.users)), told=False)


def _kinds(recipe: Recipe, dataset: Dataset) -> Mapping[str, list[tuple[str, ...]]]:
    """Values of each item's categorical and multi-valued attributes, by name."""
    names = [*recipe.items.categorical, *recipe.items.multi] if recipe.items else []
    told = dataset.item_records.values
    return {name: [_each(value) for value in told[name]] for name in names}


def _each(value: Values) -> tuple[str, ...]:
    if value is None:
        return ()
    return (str(value),) if isinstance(value, str | int | float | bool) else tuple(map(str, value))
