"""Tables: odd files, odd values, and what becomes of items, users and links."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.data import TEST, TRAIN, Dataset, load
from model.errors import DataError, RecipeError
from tests.domains import EVENTS, log, recipe, table


def found(dataset: Dataset) -> dict[str, tuple[int, str]]:
    """Findings by name: rows and first example."""
    return {one.name: (one.rows, one.examples[0]) for one in dataset.findings}


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


def test_a_missing_column_is_named_beside_those_that_exist(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1")
    with pytest.raises(DataError, match=r"table log.csv: column: found 'user'; .*it has the columns u, i, t"):
        load(recipe(tmp_path, {**EVENTS, "user": "user"}))
    with pytest.raises(DataError, match=r"column: found 'time'; "):
        load(recipe(tmp_path, {**EVENTS, "timestamp": "time"}))
    with pytest.raises(DataError, match=r"column: found 'split'"):
        load(recipe(tmp_path, split={"kind": "column"}))


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
