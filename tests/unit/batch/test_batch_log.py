"""Reading a log in the recipe's words or the service's, and lists of ids."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.batch.log import EventLog, Roles, event_types, read_log
from app.batch.recommend import Whom, asked_users, id_list
from app.batch.tables import read_table, write_table
from model.bundle import Bundle
from model.config import EventColumn, Interactions
from model.errors import DataError
from tests.pipelines import sealed

SHOP: dict[str, Any] = {
    "path": "x.csv",
    "user": "personId",
    "item": "contentId",
    "timestamp": "when",
    "order": "pos",
    "event": {"column": "eventType", "map": {"VIEW": "view", "LIKE": "like"}, "unmapped": "drop"},
}


def bundle_with(*tables: dict[str, Any]) -> Bundle:
    """The bundle as if its recipe had declared other tables."""
    recipe = {**sealed().manifest.recipe, "interactions": list(tables)}
    return Bundle(sealed().path, sealed().manifest.model_copy(update={"recipe": recipe}))


def log_of(tmp_path: Path, bundle: Bundle, columns: dict[str, Any], name: str = "log.parquet") -> EventLog:
    write_table(tmp_path / name, columns)
    return read_log(tmp_path / name, bundle)


def told(log: EventLog) -> list[tuple[str, str, int]]:
    return [
        (log.user_ids[user], log.item_ids[item], kind)
        for user, item, kind in zip(log.users.tolist(), log.items.tolist(), log.types.tolist(), strict=True)
    ]


def test_the_services_own_columns_in_order_of_time(tmp_path: Path) -> None:
    columns = {
        "user_id": ["u1", "u2", "u1"],
        "item_id": ["i1", "i2", "i3"],
        "type": ["view", "rating", "like"],
        "value": [None, 4.0, None],
        "timestamp": ["2026-01-03", "2026-01-01", "2026-01-02"],
    }
    for name in ("log.parquet", "log.csv", "log.tsv.gz"):
        log = log_of(tmp_path, sealed(), columns, name)
        assert told(log) == [("u2", "i2", 3), ("u1", "i3", 2), ("u1", "i1", 1)]
        np.testing.assert_array_equal(log.values, [4.0, np.nan, np.nan])
        assert np.diff(log.times).tolist() == [86400.0, 86400.0]
        assert len(log) == 3


def test_links_between_people_are_no_events_of_items(tmp_path: Path) -> None:
    linked = {**sealed().manifest.recipe, "links": {"path": "friends.csv", "event": "follow"}}
    bundle = Bundle(sealed().path, sealed().manifest.model_copy(update={"recipe": linked}))
    columns = {"user_id": ["u1", "u1"], "item_id": ["u2", "i2"], "type": ["follow", "view"], "timestamp": [1, 2]}
    assert told(log_of(tmp_path, bundle, columns)) == [("u1", "i2", 1)]
    with pytest.raises(DataError, match="follow"):
        log_of(tmp_path, sealed(), columns)


def test_contexts_of_a_log_are_read_as_those_of_requests(tmp_path: Path) -> None:
    columns = {
        "user_id": ["u1", "u1", "u2"],
        "item_id": ["i1", "i2", "i3"],
        "type": ["view", "view", "view"],
        "timestamp": ["2026-01-03T05:10:00Z", "2026-01-01T04:00:00Z", "2026-01-02T23:59:00Z"],
        "device": ["mobile", None, "desktop"],
    }
    log = log_of(tmp_path, sealed(), columns)
    assert log.contexts.tolist() == [[0, 5], [2, 24], [1, 6]]  # device, hour; oldest first
    rows = np.asarray(sealed().items.rows(log.item_ids), np.int64)
    assert log.histories(rows)["u1"].contexts.tolist() == [[0, 5], [1, 6]]


def test_the_recipes_columns_with_its_map(tmp_path: Path) -> None:
    columns = {
        "personId": [-9, 2, 2],
        "contentId": [5, 6, 7],
        "when": [3, 2, 1],
        "eventType": ["VIEW", "LIKE", "SHARE"],
    }
    assert told(log_of(tmp_path, bundle_with(SHOP), columns)) == [("2", "6", 2), ("-9", "5", 1)]


def test_an_order_column_breaks_ties_and_stands_for_time(tmp_path: Path) -> None:
    columns = {"personId": ["a"] * 3, "contentId": ["x", "y", "z"], "pos": [3, 1, 2], "eventType": ["view"] * 3}
    log = log_of(tmp_path, bundle_with(SHOP), columns)
    assert [one[1] for one in told(log)] == ["y", "z", "x"]
    assert np.isnan(log.times).all()


def test_types_that_nobody_knows_are_refused_where_the_recipe_refuses(tmp_path: Path) -> None:
    columns = {"user_id": ["a", "b"], "item_id": ["x", "y"], "type": ["view", "buy"]}
    with pytest.raises(DataError, match=r"event type: found \['buy'\]; known are view, like, rating"):
        log_of(tmp_path, sealed(), columns)


def test_a_table_of_one_type_needs_no_type_column(tmp_path: Path) -> None:
    columns = {"user": ["a"], "item": ["x"]}
    rated = bundle_with({"path": "x", "user": "user", "item": "item", "event": "rating"})
    assert told(log_of(tmp_path, rated, columns)) == [("a", "x", 3)]
    with pytest.raises(DataError, match=r"event type: found 'no column'; add a column type: view, like, rating"):
        log_of(tmp_path, bundle_with(SHOP), columns)


def test_a_type_column_wins_over_the_recipes(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", {"type": ["like"], "eventType": ["VIEW"]})
    table = read_table(tmp_path / "t.parquet")
    roles = Roles((Interactions.model_validate(SHOP),))
    assert roles.columns == [EventColumn.model_validate(SHOP["event"])]
    assert event_types(table, roles, sealed().spec, Path("t")).tolist() == [2]


def test_histories_hold_only_items_of_the_catalogue(tmp_path: Path) -> None:
    columns = {
        "user_id": ["a", "b", "a"],
        "item_id": ["i1", "gone", "i3"],
        "type": ["view"] * 3,
        "timestamp": [1, 2, 3],
    }
    log = log_of(tmp_path, sealed(), columns)
    found = log.histories(np.asarray(sealed().items.rows(log.item_ids)))
    assert found["a"].rows.tolist() == [1, 3]
    assert found["a"].times.tolist() == [1.0, 3.0]
    assert len(found["b"]) == 0


def test_users_are_asked_for_once_in_each_context(tmp_path: Path) -> None:
    columns = {"user": ["7", "7", "8", "7"], "device": ["mobile", "desktop", None, "mobile"], "other": [1, 2, 3, 4]}
    write_table(tmp_path / "users.csv", columns)
    found = asked_users(str(tmp_path / "users.csv"), sealed())
    assert found == [Whom("7", {"device": "mobile"}), Whom("7", {"device": "desktop"}), Whom("8", {"device": ""})]


def test_ids_from_a_table_or_from_lines(tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("u3\n\nu1\nu3\n", encoding="utf-8")
    write_table(tmp_path / "users.csv", {"user_id": ["007", "8", "007"]})
    assert id_list(tmp_path / "users.txt", "user", sealed()) == ["u3", "u1"]
    assert id_list(tmp_path / "users.csv", "user", sealed()) == ["007", "8"]
    assert asked_users("all", sealed()) == [Whom(name) for name in sealed().users.names]
    assert asked_users(str(tmp_path / "users.txt"), sealed()) == [Whom("u3"), Whom("u1")]
    with pytest.raises(DataError, match="give a readable file with one id a line"):
        id_list(tmp_path / "gone.txt", "user", sealed())
    write_table(tmp_path / "odd.csv", {"name": ["x"]})
    with pytest.raises(DataError, match=r"user column: found \['name'\]; name a column one of user_id, user"):
        id_list(tmp_path / "odd.csv", "user", sealed())
