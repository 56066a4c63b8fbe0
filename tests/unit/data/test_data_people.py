"""People as a catalogue: links as events, and what the log tells of tastes as attributes."""

from pathlib import Path

import numpy as np
import pytest

from model.data.loading import load
from model.data.log import TEST, TRAIN, VALID, Dataset
from model.data.people import BACK, LIKED, MOST_ITEMS, SELF, people_dataset, people_recipe, tastes
from model.errors import RecipeError
from model.features.rules import parse_rule
from tests.domains import EVENTS, TASK, log, recipe, table

ITEMS = {"path": "items.csv", "id": "i", "multi": {"genres": "|"}}
USERS = {"path": "users.csv", "id": "u", "categorical": ["gender"], "text": ["bio"]}


def world(folder: Path, links: dict[str, object], *told: str, split: dict[str, object] | None = None) -> Dataset:
    """Four users who choose among three items; `told` are lines of source, target, part."""
    log(folder, *("a,x,1", "a,x,2", "a,y,3", "b,y,4", "c,z,5", "b,z,6"))
    table(folder / "items.csv", "i,genres", "x,rock|pop", "y,pop", "z,jazz")
    table(folder / "users.csv", "u,gender,bio", "a,F,hello", "b,M,hi", "c,F,oh", "d,M,ah")
    table(folder / "links.csv", "source,target,part", *told)
    given = recipe(
        folder,
        links={"path": "links.csv", "split": "part", **links},
        items=ITEMS,
        users=USERS,
        split=split or {"kind": "leave_last"},
    )
    return people_dataset(given, load(given))


def rows(made: Dataset) -> set[tuple[str, str, str, int]]:
    """User, person, event type and part of every row."""
    names, log_ = made.users, made.log
    told = zip(log_.user.tolist(), log_.item.tolist(), log_.type.tolist(), log_.split.tolist(), strict=True)
    return {(names.id(user), names.id(item), made.event_types[kind - 1], part) for user, item, kind, part in told}


def test_a_mutual_link_is_an_event_of_both_and_everybody_is_one_of_themselves(tmp_path: Path) -> None:
    made = world(tmp_path, {"event": "befriend"}, "a,b,train", "b,c,valid", "c,d,test")
    both = {("a", "b", TRAIN), ("b", "c", VALID), ("c", "d", TEST)}
    assert rows(made) == {(one, two, "befriend", part) for one, two, part in both} | {
        (two, one, "befriend", part) for one, two, part in both
    } | {(one, one, SELF, TRAIN) for one in "abcd"}
    assert made.items.names == made.users.names
    assert (made.log.labels[made.log.type == 1] == 1).all()
    assert np.isnan(made.log.labels[made.log.type != 1]).all()
    assert (np.diff(made.log.split.astype(int)) >= 0).all()  # what may be known stands before what tests


def test_a_link_one_way_is_another_event_of_who_is_followed(tmp_path: Path) -> None:
    made = world(tmp_path, {"mutual": False, "event": "follow"}, "a,b,train", "b,c,valid", "c,d,test")
    assert made.event_types == ("follow", SELF, BACK)
    assert {("a", "b", "follow", TRAIN), ("b", "a", BACK, TRAIN), ("d", "c", BACK, TEST)} <= rows(made)
    assert np.isnan(made.log.labels[made.log.type == 3]).all()


def test_tastes_are_the_items_met_most_and_their_kinds_but_nothing_that_tests(tmp_path: Path) -> None:
    made = world(tmp_path, {}, "a,b,train", "b,c,valid", "c,d,test")
    graph = made.graph
    assert graph is not None
    names = [(graph.entities[head], graph.relations[kind], graph.entities[tail]) for head, kind, tail in graph.triples]
    items = {told for told in names if told[1] == LIKED}
    assert items == {("a", LIKED, "x"), ("b", LIKED, "y"), ("b", LIKED, "z"), ("c", LIKED, "z")}  # a's y is test
    kinds = {(user, kind) for user, relation, kind in names if relation == f"{LIKED} genres"}
    assert kinds == {("a", "rock"), ("a", "pop"), ("b", "pop"), ("b", "jazz"), ("c", "jazz")}
    assert graph.item_entity.tolist() == [0, 1, 2, 3]
    assert not graph.told  # what others like is no reason to be shown
    assert made.item_records.values["gender"] == ["F", "M", "F", "M"]


def test_a_users_entity_is_not_that_of_an_item_of_the_same_id(tmp_path: Path) -> None:
    log(tmp_path, "1,1,1", "1,2,2", "1,3,3", "2,1,1")
    table(tmp_path / "links.csv", "source,target", "1,2")
    given = recipe(tmp_path, links={"path": "links.csv"}, split={"kind": "leave_last"})
    graph = tastes(given, load(given))
    assert [(graph.entities[head], head, tail) for head, _, tail in graph.triples.tolist()] == [
        ("1", 0, 2), ("1", 0, 3), ("2", 1, 2)
    ]  # fmt: skip


def test_only_what_somebody_has_most_to_do_with_is_taken(tmp_path: Path) -> None:
    log(tmp_path, *(f"a,i{place},{place}" for place in range(MOST_ITEMS + 9)), "a,i7,1", "a,i7,2", "b,i1,1")
    table(tmp_path / "links.csv", "source,target", "a,b")
    given = recipe(tmp_path, links={"path": "links.csv"})
    graph = tastes(given, load(given))
    mine = [graph.entities[tail] for head, _, tail in graph.triples.tolist() if head == 0]
    assert len(mine) <= MOST_ITEMS
    assert mine[0] == "i7"


def test_the_recipe_of_people_declares_what_the_dataset_has(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,y,2", "b,y,3")
    table(tmp_path / "links.csv", "source,target", "a,b")
    table(tmp_path / "users.csv", "u,gender,bio", "a,F,hello", "b,M,hi")
    training = {"epochs": 3, "item_dropout": 0.5}
    given = recipe(tmp_path, links={"path": "links.csv", "event": "follow"}, users=USERS, training=training)
    dataset = load(given)
    told, made = people_recipe(given), people_dataset(given, dataset)
    assert [task.name for task in told.pair_tasks] == list(made.task_names)
    assert [task.kind for task in told.side_tasks] == ["item_attributes"]
    assert told.items is not None
    assert set(told.items.attributes) == set(made.item_records.values)
    assert (told.training.epochs, told.training.item_dropout) == (3, 0.5)
    assert told.serving.seen == ("follow", SELF)


def test_links_without_parts_are_parted_by_lot_and_always_alike(tmp_path: Path) -> None:
    log(tmp_path, *(f"u{place},x,{place}" for place in range(60)))
    table(tmp_path / "links.csv", "source,target", *(f"u{one},u{two}" for one in range(20) for two in range(20, 25)))
    given = recipe(tmp_path, [EVENTS], [TASK], links={"path": "links.csv"})
    dataset = load(given)
    made, again = people_dataset(given, dataset), people_dataset(given, dataset)
    linked = made.log.type == 1
    assert np.bincount(made.log.split[linked], minlength=3)[[VALID, TEST]].tolist() == [20, 0]
    assert made.fingerprint() == again.fingerprint()


@pytest.mark.parametrize("name", ["view", SELF, BACK])
def test_links_have_an_event_type_of_their_own(tmp_path: Path, name: str) -> None:
    log(tmp_path, "a,x,1")
    table(tmp_path / "links.csv", "source,target", "a,b")
    with pytest.raises(RecipeError, match=rf"links.event: found '{name}'; give links an event type of their own"):
        load(recipe(tmp_path, links={"path": "links.csv", "event": name}))


def test_an_event_of_any_name_can_link(tmp_path: Path) -> None:
    given = recipe(tmp_path, links={"path": "links.csv", "event": 'it\'s a "friend"'})
    (task,) = people_recipe(given).pair_tasks
    assert parse_rule(str(task.label)).holds({"event": 'it\'s a "friend"'})
