"""Loading: what rows become, in every shape that a recipe may declare."""

from pathlib import Path

import numpy as np
import pytest

from model.config import Recipe
from model.data import TEST, TRAIN, VALID, Dataset, load
from model.errors import DataError, RecipeError
from tests import worlds
from tests.domains import EVENTS, TASK, log, recipe, table


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(Recipe.load(worlds.write_world(tmp_path_factory.mktemp("world"))))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(Recipe.load(worlds.write_shop(tmp_path_factory.mktemp("shop"))))


def found(dataset: Dataset) -> dict[str, tuple[int, str]]:
    """Findings by name: rows and first example."""
    return {one.name: (one.rows, one.examples[0]) for one in dataset.findings}


def test_the_world_is_loaded_whole(world: Dataset) -> None:
    assert list(world.items.names) == worlds.item_ids()
    assert set(world.users.names) == set(worlds.user_ids())
    assert world.event_types == ("rating",)
    assert world.task_names == ("interest", "like", "rating")
    assert world.context_names == ("device", "hour")
    assert not world.findings
    assert not len(world.impressions)
    assert 1500 < len(world.log) < 2500


def test_the_worlds_likes_follow_genre(world: Dataset) -> None:
    like, rating = world.log.labels[:, 1], world.log.labels[:, 2]
    users = [world.users.id(row) for row in world.log.user.tolist()]
    items = [world.items.id(row) for row in world.log.item.tolist()]
    expected = [worlds.liked(user) == worlds.genre_of(item) for user, item in zip(users, items, strict=True)]
    np.testing.assert_array_equal(like, expected)
    np.testing.assert_array_equal(like, rating >= 4)
    np.testing.assert_array_equal(rating, world.log.value)
    assert (world.log.labels[:, 0] == 1).all()


def test_the_worlds_cold_items_have_no_event(world: Dataset) -> None:
    seen = world.trained_items(TRAIN, VALID, TEST)
    assert {world.items.id(row) for row in np.flatnonzero(~seen).tolist()} >= set(worlds.COLD)
    assert world.trained_items().sum() <= seen.sum()


def test_records_say_what_the_tables_say(world: Dataset) -> None:
    row = world.items.row("western/7")
    assert world.item_records.attributes(row) == {"genres": ("western",), "release_year": 1987.0}
    assert world.item_records.texts(row)["title"].startswith("A western of cowboys")
    assert world.user_records.attributes(world.users.row("u3")) == {"gender": "F", "age": 22.0}


def test_the_graph_meets_the_items(world: Dataset) -> None:
    assert world.graph is not None
    entity = world.graph.item_entity[world.items.row("horror/3")]
    assert world.graph.entities[entity] == "e.horror-3"
    head, relation, tail = world.graph.triples.T
    mine = {
        (world.graph.relations[relation[place]], world.graph.entities[tail[place]])
        for place in np.flatnonzero(head == entity)
    }
    assert mine == {("film.genre", "g.horror"), ("film.director", "p.horror-1")}


def test_equal_files_give_equal_fingerprints(world: Dataset, tmp_path: Path) -> None:
    same = load(Recipe.load(worlds.write_world(tmp_path / "same")))
    other = load(Recipe.load(worlds.write_world(tmp_path / "other", seed=1)))
    assert same.fingerprint() == world.fingerprint() != other.fingerprint()
    assert world.summary()["items"] == 80


def test_histories_are_the_users_events_oldest_first(world: Dataset) -> None:
    grouped = world.log.by_user(len(world.users))
    total = 0
    for user in range(len(world.users)):
        history = grouped.history(user)
        assert (np.diff(history.times) >= 0).all()
        assert (world.log.user[grouped.rows(user)] == user).all()
        total += len(history)
    assert total == len(world.log)


def test_the_shop_has_no_items_table_and_five_events(shop: Dataset) -> None:
    assert shop.event_types == ("view", "like", "bookmark", "comment", "follow")
    assert shop.item_records.attributes(0) == {}
    assert shop.item_records.texts(0) == {}
    assert shop.graph is None
    assert shop.links is None
    assert set(shop.context_values[0]) <= {"phone", "mac", "other"}
    assert shop.context_values[1] == ("BR",)
    missing = shop.log.context[:, 0] < 0
    assert missing.any()
    assert not missing.all()


def test_the_shops_likes_are_asked_at_views_and_look_ahead(shop: Dataset) -> None:
    like = shop.log.labels[:, shop.task_names.index("like")]
    views = shop.log.type == 1
    np.testing.assert_array_equal(np.isnan(like), ~views)
    article = np.asarray([-int(name) - 1000 for name in shop.items.names])[shop.log.item]
    before_the_cut = views & (shop.log.split == TRAIN)
    likes = {  # a view near the end of a part may have its like in the next one
        (shop.log.user[row], shop.log.item[row])
        for row in np.flatnonzero((shop.log.type == 2) & (shop.log.split == TRAIN))
    }
    for row in np.flatnonzero(before_the_cut).tolist():
        if like[row] == 1:
            assert article[row] % 3 == 0
            assert (shop.log.user[row], shop.log.item[row]) in likes
    assert (like[before_the_cut & (article % 3 == 0)] == 1).mean() > 0.95


def test_order_stands_in_for_time(tmp_path: Path) -> None:
    log(tmp_path, "a,x,2", "a,y,0", "b,x,1", "a,z,1", header="u,i,pos")
    made = recipe(tmp_path, {**EVENTS, "timestamp": None, "order": "pos"}, split={"kind": "leave_last"})
    data = load(made)
    history = data.log.by_user(2).history(data.users.row("a"))
    assert [data.items.id(row) for row in history.rows.tolist()] == ["y", "z", "x"]
    assert np.isnan(data.log.time).all()
    split = data.log.split[data.log.by_user(2).rows(data.users.row("a"))]
    assert split.tolist() == [TRAIN, VALID, TEST]


def test_order_breaks_the_ties_of_time_and_the_file_those_of_order(tmp_path: Path) -> None:
    log(tmp_path, "a,x,5,2", "a,y,5,1", "a,z,5,2", "a,w,4,9", header="u,i,t,pos")
    data = load(recipe(tmp_path, {**EVENTS, "order": "pos"}))
    assert [data.items.id(row) for row in data.log.item.tolist()] == ["w", "y", "x", "z"]


def test_without_time_and_order_parts_follow_each_other_and_rows_come_by_lot(tmp_path: Path) -> None:
    parts = ["test", "valid", "train"] * 20
    log(tmp_path, *(f"a,{row:02},{part}" for row, part in enumerate(parts)), header="u,i,split")
    made = recipe(tmp_path, {**EVENTS, "timestamp": None}, split={"kind": "column"})
    data = load(made)
    assert data.log.split.tolist() == [TRAIN] * 20 + [VALID] * 20 + [TEST] * 20
    items = [int(data.items.id(row)) for row in data.log.item.tolist()]
    assert sorted(items) == list(range(60))
    assert [parts[item] for item in items] == ["train"] * 20 + ["valid"] * 20 + ["test"] * 20
    assert items[:20] != sorted(items[:20])
    assert load(made).fingerprint() == data.fingerprint()


def test_rows_that_cannot_be_used_are_left_out_and_told(tmp_path: Path) -> None:
    long = "x" * 257
    log(tmp_path, "a,x,1,5", ",x,1,5", f"a,{long},1,5", "a,x,soon,5", "a,y,2,many", "a,y,9e9,4", header="u,i,t,v")
    data = load(recipe(tmp_path, {**EVENTS, "value": "v"}), now=2e9)
    assert len(data.log) == 3
    assert found(data) == {
        "bad timestamps": (1, "row 4: 'soon'"),
        "bad numbers in the log": (1, "row 5: 'many'"),
        "bad user ids": (1, "row 2: None"),
        "bad item ids": (1, f"row 3: '{long}'"),
        "future timestamps": (1, "row 6: '9e9'"),
    }
    assert np.isnan(data.log.value[data.items.row("y") == data.log.item]).tolist() == [True, False]


def test_event_types_come_from_a_column_as_they_are(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1,buy", "a,x,2,view", "a,y,3,view", "a,y,4,", header="u,i,t,e")
    data = load(recipe(tmp_path, {**EVENTS, "event": {"column": "e"}}))
    assert data.event_types == ("view", "buy")
    assert data.log.type.tolist() == [2, 1, 1]
    assert found(data)["unknown events"] == (1, "row 4: None")


@pytest.mark.parametrize(
    ("unmapped", "events", "impressions", "told"),
    [("refuse", 1, 0, True), ("drop", 1, 0, False), ("impression", 1, 2, False)],
)
def test_unmapped_events_are_refused_dropped_or_impressions(
    tmp_path: Path, unmapped: str, events: int, impressions: int, told: bool
) -> None:
    log(tmp_path, "a,x,1,VIEW", "a,x,2,SHOW", "a,y,3,SHOW", header="u,i,t,e")
    event = {"column": "e", "map": {"VIEW": "view"}, "unmapped": unmapped}
    data = load(recipe(tmp_path, {**EVENTS, "event": event}, [{**TASK, "label": "e == 'VIEW'", "negatives": 0}]))
    assert (len(data.log), len(data.impressions)) == (events, impressions)
    assert ("unknown events" in found(data)) == told
    assert data.impressions.labels[:, 0].tolist() == [0.0] * impressions
    assert (data.impressions.type == 0).all()


def test_several_tables_make_one_log_and_labels_may_read_any_of_their_columns(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1,5", "b,y,4,2", header="u,i,t,stars")
    table(tmp_path / "buys.csv", "who,what,when,price", "a,y,2,9.5", "c,z,3,")
    buys = {"path": "buys.csv", "user": "who", "item": "what", "timestamp": "when", "event": "buy", "value": "price"}
    tasks = [
        {"name": "like", "kind": "binary", "label": "stars >= 4", "given": "stars is not null"},
        {"name": "spend", "kind": "regression", "label": "value", "given": "event == 'buy'"},
        {"name": "next", "kind": "next_item", "label": "event == 'buy'"},
    ]
    data = load(recipe(tmp_path, [EVENTS, buys], tasks))
    assert data.event_types == ("view", "buy")
    assert [data.users.id(row) for row in data.log.user.tolist()] == ["a", "a", "c", "b"]
    nan = np.nan
    np.testing.assert_array_equal(data.log.labels, [[1, nan, nan], [nan, 9.5, 1], [nan, nan, 1], [0, nan, nan]])


def test_a_table_without_events_holds_labelled_pairs(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,y,5")
    table(tmp_path / "asked.csv", "u,i,t,clicked", "a,z,2,0", "b,x,3,1")
    asked = {"path": "asked.csv", "user": "u", "item": "i", "timestamp": "t"}
    data = load(recipe(tmp_path, [EVENTS, asked], [{"name": "click", "kind": "binary", "label": "clicked"}]))
    assert data.impressions.labels[:, 0].tolist() == [0, 1]
    assert np.isnan(data.log.labels).all()
    assert data.impressions.order.tolist() == [1, 2]
    assert data.log.order.tolist() == [0, 3]


def test_a_label_that_reads_an_unknown_column_is_refused(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1")
    with pytest.raises(
        RecipeError, match=r"task interest: label: stars > 3: found 'stars'; .* known are event, i, item, t"
    ):
        load(recipe(tmp_path, tasks=[{**TASK, "label": "stars > 3"}]))
    with pytest.raises(RecipeError, match=r"task interest: given: found 'a \+'; it does not parse"):
        load(recipe(tmp_path, tasks=[{**TASK, "given": "a +"}]))


def test_a_scene_that_reads_an_unknown_attribute_is_refused(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1")
    with pytest.raises(RecipeError, match=r"scene s: items: .*found 'genres'; .* known are item_id"):
        load(recipe(tmp_path, scenes={"s": {"items": "'x' in genres"}}))
    with pytest.raises(RecipeError, match=r"scene s: when: .*found 'hour'"):
        load(recipe(tmp_path, scenes={"s": {"items": "item_id != 'x'", "when": "hour > 3"}}))


def test_a_derived_context_needs_times(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", header="u,i,pos")
    untimed = {**EVENTS, "timestamp": None, "order": "pos", "context": ["hour"]}
    with pytest.raises(RecipeError, match=r"context hour: found 'hour'; log.csv has no timestamp to make it of"):
        load(recipe(tmp_path, untimed, split={"kind": "leave_last"}))


def test_hour_and_weekday_are_of_the_timestamp_unless_the_table_has_them(tmp_path: Path) -> None:
    log(tmp_path, "a,x,2023-11-14T22:13:20Z,6", "a,y,1970-01-01T00:00:00Z,", header="u,i,t,weekday")
    data = load(recipe(tmp_path, {**EVENTS, "context": ["hour", "weekday", {"name": "day", "column": "weekday"}]}))
    first, last = (dict(zip(data.context_names, row, strict=True)) for row in data.log.context.tolist())
    assert data.context_values[0][last["hour"]] == "22"
    assert data.context_values[0][first["hour"]] == "0"
    assert data.context_values[1][last["weekday"]] == "6"
    assert first["weekday"] == first["day"] == -1


def test_a_table_of_untimed_rows_without_any_good_one_is_refused(tmp_path: Path) -> None:
    log(tmp_path, ",x,1")
    with pytest.raises(DataError, match="interactions: found 'no usable row'"):
        load(recipe(tmp_path))


def test_events_of_items_outside_the_catalogue_are_dropped_or_added(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,away,2", "a,y,3")
    table(tmp_path / "items.csv", "id,name", "y,Why", "x,Ex", "z,Zed")
    items = {"path": "items.csv", "id": "id", "text": ["name"]}
    dropped = load(recipe(tmp_path, items=items))
    assert list(dropped.items.names) == ["y", "x", "z"]
    assert len(dropped.log) == 2
    assert found(dropped)["events of unknown items"] == (1, "row 2: 'away'")
    added = load(recipe(tmp_path, items={**items, "unknown": "add"}))
    assert list(added.items.names) == ["y", "x", "z", "away"]
    assert len(added.log) == 3
    assert added.item_records.texts(3) == {}


def test_a_column_splits_and_an_expression_may_say_what_validates(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1,train,0", "a,y,2,Train,1", "b,x,3,test,1", "b,y,4,rest,0", header="u,i,t,part,cold")
    split = {"kind": "column", "column": "part", "valid_when": "cold == 1"}
    data = load(recipe(tmp_path, split=split))
    assert data.log.split.tolist() == [TRAIN, VALID, TEST]
    assert found(data) == {"bad split": (1, "row 4: 'rest'")}
    log(tmp_path, "a,x,1,train", header="u,i,t,part")
    with pytest.raises(RecipeError, match=r"split: valid_when: cold > 0: found 'cold'"):
        load(recipe(tmp_path, split={**split, "valid_when": "cold > 0"}))


def test_a_table_without_a_context_column_leaves_it_missing(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1,tv", header="u,i,t,device")
    table(tmp_path / "more.csv", "u,i,t", "b,y,2")
    data = load(recipe(tmp_path, [{**EVENTS, "context": ["device"]}, {**EVENTS, "path": "more.csv"}]))
    assert data.log.context.tolist() == [[0], [-1]]
