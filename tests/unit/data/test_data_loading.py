"""Loading: what rows become, in every shape that a recipe may declare."""

from pathlib import Path

import numpy as np
import pandas as pd
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


def test_ids_are_texts_whatever_the_file_holds(tmp_path: Path) -> None:
    frame = pd.DataFrame({"u": [1, 2, 10**18 + 1], "i": [1.0, 2.0, 1.0], "t": pd.to_datetime([1, 2, 3], unit="s")})
    frame["big"] = pd.array([9007199254740993, None, 5], dtype="Int64")
    frame.to_parquet(tmp_path / "log.parquet")
    data = load(recipe(tmp_path, {**EVENTS, "path": "log.parquet"}))
    assert list(data.users.names) == ["1", "2", "1000000000000000001"]
    assert list(data.items.names) == ["1", "2"]
    assert data.log.time.tolist() == [1.0, 2.0, 3.0]
    big = load(recipe(tmp_path, {**EVENTS, "path": "log.parquet", "user": "big"}))
    assert list(big.users.names) == ["9007199254740993", "5"]
    assert found(big)["bad user ids"] == (1, "row 2: None")


def test_leading_zeros_and_the_country_na_are_kept(tmp_path: Path) -> None:
    log(tmp_path, "007,x,1,NA", "7,y,2,", "é/ü,x,3,DE", header="u,i,t,country")
    data = load(recipe(tmp_path, {**EVENTS, "context": ["country"]}))
    assert list(data.users.names) == ["007", "7", "é/ü"]
    assert data.context_values == (("NA", "DE"),)
    assert data.log.context[:, 0].tolist() == [0, -1, 1]


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("1700000000", 1.7e9),
        ("1700000000000", 1.7e9),
        ("1700000000000000", 1.7e9),
        ("1700000000000000000", 1.7e9),
        ("2023-11-14T22:13:20Z", 1.7e9),
        ("2023-11-14T23:13:20+01:00", 1.7e9),
        ("2023-11-14 22:13:20.5", 1.7e9 + 0.5),
        ("1970-01-02", 86400.0),
    ],
)
def test_times_are_epochs_of_any_unit_or_iso(tmp_path: Path, stamp: str, seconds: float) -> None:
    log(tmp_path, f"a,x,{stamp}")
    assert load(recipe(tmp_path)).log.time.tolist() == [seconds]


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


def test_a_missing_column_is_named_beside_those_that_exist(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1")
    with pytest.raises(DataError, match=r"table log.csv: column: found 'user'; .*it has the columns u, i, t"):
        load(recipe(tmp_path, {**EVENTS, "user": "user"}))
    with pytest.raises(DataError, match=r"column: found 'time'; "):
        load(recipe(tmp_path, {**EVENTS, "timestamp": "time"}))
    with pytest.raises(DataError, match=r"column: found 'split'"):
        load(recipe(tmp_path, split={"kind": "column"}))


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


def test_records_are_read_by_role(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,y,2", "b,z,3")
    table(
        tmp_path / "items.csv",
        "id,name,tags,code,price",
        "x,Ex,red| blue |red,01,9.5",
        "x,again,,02,1",
        ",no id,,03,1",
        "y, ,,,cheap",
        "z,Zed,|,04,",
    )
    items = {"path": "items.csv", "id": "id", "text": ["name"], "multi": {"tags": "|"}}
    data = load(recipe(tmp_path, items={**items, "categorical": ["code"], "numeric": ["price"]}))
    records = [data.item_records.attributes(row) for row in range(3)]
    assert records == [{"tags": ("red", "blue"), "code": "01", "price": 9.5}, {}, {"code": "04"}]
    assert list(data.item_records.values) == ["tags", "code", "price"]
    assert found(data) == {
        "bad ids": (1, "row 3: None"),
        "duplicate ids": (1, "row 2: 'x'"),
        "empty text": (1, "row 2: 'y'"),
        "bad numbers": (1, "row 2: 'cheap'"),
    }


def test_lists_of_parquet_are_multi_valued(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,y,2")
    pd.DataFrame({"id": ["x", "y"], "tags": [["b", "a", "b"], None]}).to_parquet(tmp_path / "items.parquet")
    items = {"path": "items.parquet", "id": "id", "multi": {"tags": ""}}
    data = load(recipe(tmp_path, items=items, scenes={"a": {"items": "'a' in tags"}}))
    assert data.item_records.values["tags"] == [("b", "a"), None]


def test_users_without_events_and_events_without_profile_are_both_users(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "b,y,2")
    table(tmp_path / "users.csv", "id,sex", "c,F", "b,M")
    data = load(recipe(tmp_path, users={"path": "users.csv", "id": "id", "categorical": ["sex"]}))
    assert list(data.users.names) == ["c", "b", "a"]
    assert [data.user_records.attributes(row) for row in range(3)] == [{"sex": "F"}, {"sex": "M"}, {}]


def test_tables_may_be_odd_files(tmp_path: Path) -> None:
    (tmp_path / "log.dat").write_bytes("a::x".replace("::", ";").encode() + b';1\nb;"y;2\n')
    made = {**EVENTS, "path": "log.dat", "separator": ";", "columns": ["u", "i", "t"], "quotes": False}
    data = load(recipe(tmp_path, made))
    assert list(data.items.names) == ["x", '"y']
    (tmp_path / "latin.csv").write_bytes("u,i,t\na,caf\xe9,1\n".encode("latin-1"))
    latin = load(recipe(tmp_path, {**EVENTS, "path": "latin.csv", "encoding": "latin-1"}))
    assert list(latin.items.names) == ["café"]
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbfu,i,t\na,x,1\n")
    assert len(load(recipe(tmp_path, {**EVENTS, "path": "bom.csv"})).log) == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("log.csv", b"", "column: found 'u'"),
        ("log.csv", b"u,i,t\n", "found 'no rows'; give a file that holds rows"),
        ("log.csv", b"u,u,t\n1,2,3\n", r"columns: found \['u'\]; give each column its own name"),
        ("log.csv", b"u,i,t\na,x,1,2,3\n", "and see to its separator"),
        ("log.csv", b"u,i,t\n\xff,x,1\n", "and see to its separator, quotes and encoding"),
        ("log.csv.gz", b"u,i,t\na,x,1\n", "give a Parquet, CSV or TSV file"),
        ("log.parquet", b"u,i,t\na,x,1\n", "give a Parquet, CSV or TSV file"),
    ],
)
def test_a_broken_table_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"table {name}.*{words}"):
        load(recipe(tmp_path, {**EVENTS, "path": name}))


def test_a_file_of_unknown_kind_needs_a_separator(tmp_path: Path) -> None:
    (tmp_path / "log.dat").touch()
    with pytest.raises(RecipeError, match=r"table log.dat: found '.dat'; name it .parquet or"):
        load(recipe(tmp_path, {**EVENTS, "path": "log.dat"}))


def test_friends_are_users_and_mutual_links_are_kept_once(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1")
    table(tmp_path / "friends.csv", "source,target,part", "a,b,train", "b,a,train", "c,a,test", "d,d,train", ",a,val")
    links = {"path": "friends.csv", "split": "part"}
    data = load(recipe(tmp_path, links=links))
    assert data.links is not None
    assert [[data.users.id(row) for row in pair] for pair in data.links.pairs.tolist()] == [["a", "b"], ["c", "a"]]
    assert data.links.split.tolist() == [TRAIN, TEST]
    assert found(data)["bad links"] == (2, "row 4: 'd'")
    directed = load(recipe(tmp_path, links={"path": "friends.csv", "mutual": False}))
    assert directed.links is not None
    assert len(directed.links.pairs) == 3
    assert (directed.links.split == TRAIN).all()


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


def test_odd_types_of_parquet_are_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"u": [b"a", b"b"], "i": [1.5, np.inf], "t": [1, 2], "tags": [["p", "q"], None], "on": [True, False]}
    )
    frame.to_parquet(tmp_path / "log.parquet")
    tasks = [{"name": "p", "kind": "binary", "label": "'p' in tags"}, {"name": "on", "kind": "binary", "label": "on"}]
    data = load(recipe(tmp_path, {**EVENTS, "path": "log.parquet"}, tasks))
    assert list(data.users.names) == ["a"]
    assert list(data.items.names) == ["1.5"]
    assert data.log.labels.tolist() == [[1, 1]]
    assert found(data) == {"bad item ids": (1, "row 2: None")}


def test_a_row_that_is_too_long_is_named_wherever_it_stands(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,y,2,3,4")
    with pytest.raises(
        DataError, match=r"table log.csv: found .*Expected 3 fields in line 3, saw 5.*see to its separator"
    ):
        load(recipe(tmp_path))


def test_numbers_may_be_categorical_beside_a_label_that_compares_them(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1,5", "a,y,2,3", header="u,i,t,stars")
    event = {"column": "stars", "map": {"5": "love", "3": "meh"}}
    tasks = [
        {"name": "like", "kind": "binary", "label": "stars >= 4"},
        {"name": "r", "kind": "regression", "label": "stars"},
    ]
    data = load(recipe(tmp_path, {**EVENTS, "event": event}, tasks))
    assert data.log.labels.tolist() == [[1, 5], [0, 3]]
