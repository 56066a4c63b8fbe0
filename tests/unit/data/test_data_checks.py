"""Checks: each fails for what it is there for, with a count and examples, and lets sound data pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.config import Recipe
from model.data import load
from model.data.agreement import NOTHING, agreement, best_scores
from model.data.checks import Check, refuse_failures, run_checks
from model.data.log import KnowledgeGraph, Records
from model.errors import DataError
from tests import worlds
from tests.domains import EVENTS, TASK, log, recipe, table


def failed(made: Recipe) -> dict[str, Check]:
    """The checks that fail, by name."""
    return {check.name: check for check in run_checks(made, load(made, now=2e9)) if not check.passed}


def test_sound_worlds_pass(tmp_path: Path) -> None:
    for path in (worlds.write_world(tmp_path / "world"), worlds.write_shop(tmp_path / "shop")):
        assert not failed(Recipe.load(path))


ROWS = [f"{user},{item},{100 * user + item}" for user in range(10) for item in range(10)]


def test_who_splits_by_a_column_may_keep_the_test_part_elsewhere(tmp_path: Path) -> None:
    for parts, passes in ((("train", "valid"), True), (("valid", "test"), False)):
        log(tmp_path, *(f"{row},{part}" for part in parts for row in ROWS), header="u,i,t,split")
        made = recipe(tmp_path, split={"kind": "column"})
        found = {check.name: check for check in run_checks(made, load(made))}["parts without events"]
        assert (found.passed, found.count) == (passes, 1)
    log(tmp_path, "a,x,1")
    assert "parts without events" in failed(recipe(tmp_path))


def test_who_adds_unknown_items_may_have_any_number_of_them(tmp_path: Path) -> None:
    log(tmp_path, *ROWS)
    table(tmp_path / "items.csv", "id,name", "0,Zero")
    items = {"path": "items.csv", "id": "id", "text": ["name"]}
    assert list(failed(recipe(tmp_path, items=items))) == ["events of unknown items"]
    made = recipe(tmp_path, items={**items, "unknown": "add"})
    assert not failed(made)
    told = {check.name: check for check in run_checks(made, load(made))}["events of unknown items"]
    assert (told.count, told.of) == (90, 100)


@pytest.mark.parametrize(
    ("row", "name", "example"),
    [
        ("a,x,later", "bad timestamps", "row 101: 'later'"),
        ("a,x,9000000000", "future timestamps", "row 101: 9000000000"),
        (",x,1", "bad user ids", "row 101: None"),
        ("a,,1", "bad item ids", "row 101: None"),
    ],
)
def test_one_bad_row_of_the_log_fails(tmp_path: Path, row: str, name: str, example: str) -> None:
    log(tmp_path, *ROWS, row)
    found = failed(recipe(tmp_path))
    assert list(found) == [name]
    assert (found[name].count, found[name].of, found[name].examples[0]) == (1, 101, example)


def test_examples_are_ten_at_most(tmp_path: Path) -> None:
    log(tmp_path, *ROWS, *["a,x,never"] * 25)
    found = failed(recipe(tmp_path))["bad timestamps"]
    assert (found.count, len(found.examples)) == (25, 10)


def test_findings_of_several_tables_are_told_apart(tmp_path: Path) -> None:
    log(tmp_path, *ROWS, "a,x,never")
    table(tmp_path / "more.csv", "u,i,t", "a,x,nor", "a,x,5")
    found = failed(recipe(tmp_path, [EVENTS, {**EVENTS, "path": "more.csv"}]))["bad timestamps"]
    assert found.count == 2
    assert found.examples == ("log.csv row 101: 'never'", "more.csv row 1: 'nor'")


def test_duplicate_ids_and_too_few_texts_fail(tmp_path: Path) -> None:
    log(tmp_path, *ROWS)
    table(tmp_path / "items.csv", "id,name", *(f"{item}," for item in range(10)), "3,again")
    found = failed(recipe(tmp_path, items={"path": "items.csv", "id": "id", "text": ["name"]}))
    assert found["duplicate ids"].examples == ("row 11: '3'",)
    assert (found["empty text"].count, found["empty text"].of) == (10, 10)


@pytest.mark.parametrize(("missing", "passes"), [(1, True), (3, False)])
def test_few_events_of_unknown_items_are_only_told(tmp_path: Path, missing: int, passes: bool) -> None:
    log(tmp_path, *ROWS, *ROWS, *["1,gone,5"] * missing)
    table(tmp_path / "items.csv", "id,name", *(f"{item},n" for item in range(10)))
    made = recipe(tmp_path, items={"path": "items.csv", "id": "id", "text": ["name"]})
    found = {check.name: check for check in run_checks(made, load(made))}["events of unknown items"]
    assert (found.passed, found.count) == (passes, missing)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({**TASK, "negatives": 0}, "task interest: one class only"),
        ({**TASK, "label": "t >= 0", "given": "t > 99999"}, "task interest: no training row carries its label"),
        ({**TASK, "label": "i"}, "task interest: labels other than 0 and 1"),
        ({**TASK, "label": "i == 'never'"}, "task interest: one class only"),
        ({"name": "score_it", "kind": "regression", "label": "t", "given": "t == 3"}, "task score_it: one value only"),
    ],
)
def test_a_task_that_cannot_be_learnt_fails(tmp_path: Path, task: dict[str, Any], words: str) -> None:
    log(tmp_path, *ROWS)
    assert list(failed(recipe(tmp_path, tasks=[task]))) == [words]


def test_a_task_with_two_classes_or_one_and_negatives_passes(tmp_path: Path) -> None:
    log(tmp_path, *ROWS)
    tasks: list[dict[str, object]] = [
        TASK,
        {"name": "even", "kind": "binary", "label": "i in [0, 2, 4]"},
        {"name": "next", "kind": "next_item"},
    ]
    assert not failed(recipe(tmp_path, tasks=tasks))


def test_parts_without_events_and_events_that_never_occur_fail(tmp_path: Path) -> None:
    log(tmp_path, *(f"{user},x,5,view" for user in range(20)), header="u,i,t,e")
    event = {"column": "e", "map": {"view": "view", "BUY": "buy"}}
    found = failed(recipe(tmp_path, {**EVENTS, "event": event}))
    assert found["parts without events"].examples == ("train: 0 events", "valid: 0 events", "test: 20 events")
    assert found["event types that never occur"].examples == ("buy",)


def test_events_written_twice_are_told_and_refused_when_many(tmp_path: Path) -> None:
    log(tmp_path, *ROWS, ROWS[0])
    made = recipe(tmp_path)
    told = {check.name: check for check in run_checks(made, load(made))}["events written twice"]
    assert (told.passed, told.count, told.examples) == (True, 1, ("view of '0' by '0' at 0",))
    log(tmp_path, *ROWS, *ROWS)
    assert "events written twice" in failed(made)


def _wrong_join(path: Path, kept: int) -> Recipe:
    """The world with its links turned by 33 places, all but the first `kept`."""
    made = Recipe.load(worlds.write_world(path))
    ids = worlds.item_ids()
    turned = ids[:kept] + ids[kept + 33 :] + ids[kept : kept + 33]
    rng = np.random.default_rng(0)
    order = [*range(kept), *(kept + rng.permutation(len(ids) - kept)).tolist()]
    rows = [f"{turned[place]}\te.{ids[row].replace('/', '-')}" for place, row in enumerate(order)]
    (path / "links.tsv").write_text("\n".join(["item_id\tentity_id", *rows]) + "\n", encoding="utf-8")
    return made


def test_a_graph_joined_by_the_wrong_ids_fails(tmp_path: Path) -> None:
    found = failed(_wrong_join(tmp_path, 0))
    assert list(found) == ["entities agree with the attributes"]
    check = found["entities agree with the attributes"]
    assert check.count == check.of == 12
    assert "keyed by other ids" in check.lines()[0]
    assert "shuffled links give" in check.lines()[0]
    assert any("film.genre g.comedy" in line for line in check.lines()[1:])


def test_a_map_of_ids_mends_the_join(tmp_path: Path) -> None:
    made = Recipe.load(worlds.write_world(tmp_path))
    ids = worlds.item_ids()
    other = {item: f"o{(7 * place) % len(ids)}" for place, item in enumerate(ids)}
    links = [f"{other[item]}\te.{item.replace('/', '-')}" for item in ids]
    (tmp_path / "links.tsv").write_text("\n".join(["item_id\tentity_id", *links]) + "\n", encoding="utf-8")
    table(tmp_path / "map.csv", "theirs,ours", *(f"{theirs},{ours}" for ours, theirs in other.items()))
    link = {"path": "links.tsv", "map": {"path": "map.csv", "source": "theirs", "target": "ours"}}
    mended = made.changed({"graph.link": link})  # type: ignore[dict-item] # nested JSON
    assert not failed(mended)
    assert "items without an entity" in failed(made)


def test_items_that_a_map_gives_two_of_share_the_entity(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,y,2", "a,z,3")
    table(tmp_path / "kg.csv", "head,relation,tail", "e1,likes,e2", "e1,likes,")
    table(tmp_path / "links.csv", "item_id,entity_id", "9,e1", "8,e7", "7,e2")
    table(tmp_path / "map.csv", "theirs,ours", "9,x", "9,y", "8,z", "8,w")
    link = {"path": "links.csv", "map": {"path": "map.csv", "source": "theirs", "target": "ours"}}
    data = load(recipe(tmp_path, graph={"path": "kg.csv", "link": link}))
    assert data.graph is not None
    assert data.graph.item_entity.tolist() == [0, 0, -1]
    assert {one.name: one.rows for one in data.findings} == {
        "incomplete triples": 1,
        "links that the map does not hold": 1,
        "links to unknown items": 1,
        "links to unknown entities": 2,
    }


def test_without_a_link_table_an_item_is_the_entity_of_its_name(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,y,2")
    table(tmp_path / "kg.csv", "head,relation,tail", "z,near,y")
    data = load(recipe(tmp_path, graph={"path": "kg.csv"}))
    assert data.graph is not None
    assert data.graph.item_entity.tolist() == [-1, 1]


def test_agreement_has_nothing_to_say_without_pairs_or_attributes() -> None:
    graph = KnowledgeGraph(("a", "b"), ("r",), np.asarray([[0, 0, 1]]), np.asarray([0, -1]))
    assert agreement(graph, Records({}, {}), np.random.default_rng(0)) == NOTHING
    assert NOTHING.holds


def test_agreement_of_a_large_catalogue_is_judged_on_a_sample(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("model.data.agreement.MOST_ITEMS", 40)
    data = load(Recipe.load(worlds.write_world(tmp_path)))
    assert data.graph is not None
    found = agreement(data.graph, data.item_records, np.random.default_rng(0))
    assert found.holds
    assert found.pairs


def test_scores_are_those_of_the_hypergeometric_law() -> None:
    members = np.asarray([[1, 1, 0, 0], [1, 0, 1, 0]], np.float32)
    has = np.asarray([[1], [1], [0], [0]], np.float32)
    np.testing.assert_allclose(best_scores(members, has), [[np.sqrt(3)], [0]], atol=1e-6)


def test_failures_are_refused_by_name() -> None:
    checks = [Check("fine", True, 1, 2, (), ""), Check("bad ids", False, 3, 9, ("row 1: ''",), "mend them")]
    refuse_failures(checks[:1])
    with pytest.raises(DataError, match=r"check bad ids: found '3 of 9'; mend them \(row 1: ''\)"):
        refuse_failures(checks)
    assert checks[1].lines() == ["FAIL  bad ids: 3 of 9; mend them", "        row 1: ''"]
    assert checks[0].lines() == ["PASS  fine: 1 of 2"]
