"""The recipe: what it refuses, and in which words; profiles and single changes; where its paths lead."""

from pathlib import Path
from typing import Any

import pytest

from model.config import PROFILES, Recipe, Training, expand, parse_changes
from model.errors import DataError, RecipeError
from tests.domains import EVENTS, TASK, recipe
from tests.worlds import write_shop, write_world

ROOT = Path(__file__).parents[3]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"foo": 1}, r"foo: found 1; known keys are data, graph, interactions"),
    ({"training": {"epoch": 3}}, r"training.epoch: found 3; did you mean epochs\?"),
    ({"training": {"epochs": 0}}, r"training.epochs: found 0; Input should be greater than or equal to 1"),
    ({"training": {"learning_rate": float("nan")}}, "learning_rate"),
    ({"training": {"profiles": {"quick": {"epoch": 3}}}}, r"training.profiles.quick.epoch: found 3; did you"),
    ({"split": {"train": 0.95}}, "train \\+ valid must leave a part for test"),
    ({"split": {"valid_when": "a == 1"}}, "valid_when belongs to kind = 'column'"),
    ({"tasks": []}, "tasks: found \\[\\]; Tuple should have at least 1 item"),
    ({"tasks": [{"name": "a", "kind": "binary"}]}, "tasks.0: found .*; a binary task needs a label"),
    ({"tasks": [{**TASK, "name": "score"}]}, "'score' is a column of the batch answers"),
    ({"tasks": [TASK, TASK]}, r"tasks: found \['interest'\]; give each its own name"),
    ({"tasks": [TASK, {"name": "g", "kind": "graph_links", "label": "x"}]}, "graph_links is a side task"),
    ({"tasks": [{**TASK, "kind": "regression", "horizon": 5}]}, "horizon belongs to binary tasks"),
    ({"tasks": [{**TASK, "kind": "regression", "after": "x"}]}, "after belongs to binary tasks"),
    ({"tasks": [{**TASK, "after": "x"}]}, r"tasks.interest.after: found 'x'; use a binary task: interest"),
    ({"tasks": [TASK, {**TASK, "name": "n", "kind": "next_item"}, {**TASK, "name": "b", "after": "n"}]},
     r"tasks.b.after: found 'n'; use a binary task: b, interest"),
    ({"tasks": [{**TASK, "after": "b"}, {**TASK, "name": "b", "after": "interest"}]},
     r"tasks.interest.after: found 'interest after b after interest'; a chain must begin somewhere"),
    ({"tasks": [TASK, {**TASK, "name": "b", "after": "b"}]}, r"found 'b after b'; a chain must begin"),
    ({"tasks": [{"name": "g", "kind": "self_supervision"}]}, "add a pair task"),
    ({"tasks": [TASK, {"name": "g", "kind": "graph_links"}]}, r"tasks.g: found 'graph_links'; .* table \[graph\]"),
    ({"tasks": [TASK, {"name": "g", "kind": "scene"}]}, r"tasks.g: found 'scene'; it tells context columns; name some"),
    ({"serving": {"blend": {"like": 1}}}, r"serving.blend: found \['like'\]; use some of interest"),
    ({"serving": {"seen": ["buy"]}}, r"serving.seen: found \['buy'\]; use some of view"),
    ({"interactions": {**EVENTS, "timestamp": None}}, "a split by time needs its timestamp"),
    ({"interactions": {**EVENTS, "event": None}}, "name an event: event = 'view'"),
    ({"interactions": {**EVENTS, "event": {"colum": "x"}}}, "event.colum: found 'x'; did you mean column"),
    ({"interactions": {**EVENTS, "context": ["hour", "hour"]}}, r"interactions.0.context: found \['hour'\]"),
    ({"interactions": {key: EVENTS[key] for key in ("path", "item", "event", "timestamp")}}, "add the key user"),
    (
        {"items": {"path": "i.csv", "id": "i", "numeric": ["a"], "multi": {"a": "|"}}},
        r"give each attribute one of categorical, numeric and multi; \['a'\] have more",
    ),
    (
        {
            "items": {"path": "i.csv", "id": "i"},
            "tasks": [TASK, {"name": "g", "kind": "item_attributes", "attributes": ["z"]}],
        },
        r"tasks.g.attributes: found \['z'\]; use some of none",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), BAD)
def test_a_recipe_that_cannot_be_carried_out_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    data = {"name": "x", "interactions": EVENTS, "tasks": [TASK]} | change
    with pytest.raises(RecipeError, match=words):
        Recipe.parse(data)


def test_one_interactions_table_and_several_are_both_right(tmp_path: Path) -> None:
    one, two = recipe(tmp_path), recipe(tmp_path, [EVENTS, {**EVENTS, "event": "buy"}])
    assert (len(one.interactions), len(two.interactions)) == (1, 2)


def test_a_recipe_survives_its_plain_form(tmp_path: Path) -> None:
    for path in (write_world(tmp_path / "w"), write_shop(tmp_path / "s"), ROOT / "recipes" / "movies"):
        made = Recipe.load(path)
        assert Recipe.parse(made.to_dict()).model_dump() == made.model_dump()


def test_a_recipe_is_found_by_its_folder_too(tmp_path: Path) -> None:
    path = write_world(tmp_path)
    assert Recipe.load(tmp_path) == Recipe.load(path)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere.*give the path of a dataset.toml"):
        Recipe.load(tmp_path / "nowhere.toml")
    (tmp_path / "dataset.toml").write_text("name = ", encoding="utf-8")
    with pytest.raises(RecipeError, match="write it as UTF-8 TOML"):
        Recipe.load(tmp_path)


def test_a_profile_is_the_built_in_one_then_the_recipes_own_then_single_changes(tmp_path: Path) -> None:
    training = {
        "epochs": 50,
        "dim": 8,
        "profiles": {"quick": {"epochs": 2, "channels.ease.shrink": 7}, "night": {"dim": 4}},
    }
    base = recipe(tmp_path, training=training)
    quick = base.under("quick", {"training.dropout": 0.5}).training
    assert (quick.epochs, quick.dim, quick.dropout) == (2, 8, 0.5)
    assert quick.ranker_epochs == PROFILES["quick"]["ranker_epochs"]
    assert quick.channel("ease").shrink == 7
    assert base.under("full").training.epochs == 50
    assert base.under("night").training.dim == 4
    assert base.under().training == base.training


def test_a_profile_or_key_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    base = recipe(tmp_path)
    with pytest.raises(RecipeError, match=r"profile: found 'slow'; use one of full, quick"):
        base.under("slow")
    with pytest.raises(RecipeError, match=r"training.epoch: found 3; did you mean epochs"):
        base.under(changes={"training.epoch": 3})
    with pytest.raises(RecipeError, match=r"key name.x: found 'tiny'; name is no table"):
        base.under(changes={"name.x": 3})
    nested = recipe(tmp_path, training={"profiles": {"bad": {}}})
    with pytest.raises(RecipeError, match=r"training.dim: found 8; this is no table"):
        nested.changed({"training.profiles.bad": {"dim.x": 1}, "training.dim": 8})


def test_a_channel_keeps_its_defaults_where_the_recipe_says_nothing() -> None:
    training = Training.model_validate({"channels": {"graph": {"size": 5}, "mine": {"depth": 2}}})
    graph, mine = training.channel("graph"), training.channel("mine")
    assert (graph.size, graph.decay, graph.keep) == (5, 0.9, 50)
    assert (mine.depth, mine.size) == (2, 200)


def test_settings_of_the_command_line_are_toml_or_bare_words() -> None:
    found = parse_changes(["training.epochs=3", "training.experts = ple", "serving.blend={like=1.5}", "a.b=true"])
    assert found == {"training.epochs": 3, "training.experts": "ple", "serving.blend": {"like": 1.5}, "a.b": True}
    with pytest.raises(RecipeError, match=r"--set: found 'training.epochs'; write KEY=VALUE"):
        parse_changes(["training.epochs"])


def test_a_path_is_looked_for_in_the_data_folder_then_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "given").mkdir()
    (tmp_path / "beside.csv").touch()
    (tmp_path / "home" / "log.csv").touch()
    (tmp_path / "given" / "log.csv").touch()
    made = recipe(tmp_path, data="home")
    assert made.resolve("log.csv") == tmp_path / "home" / "log.csv"
    assert made.resolve("log.csv", tmp_path / "given") == tmp_path / "given" / "log.csv"
    assert made.resolve("beside.csv", tmp_path / "given") == tmp_path / "beside.csv"
    assert made.resolve(str(tmp_path / "beside.csv")) == tmp_path / "beside.csv"
    with pytest.raises(
        DataError, match=r"table: found 'away.csv'; no such file at .*home.*give its folder with --data"
    ):
        made.resolve("away.csv")


def test_paths_read_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_DIR", str(tmp_path))
    (tmp_path / "log.csv").touch()
    assert recipe(tmp_path / "x").resolve("${SOME_DIR}/log.csv") == tmp_path / "log.csv"
    with pytest.raises(RecipeError, match=r"variable NO_SUCH: found '\$\{NO_SUCH\}/a'; set the environment variable"):
        expand("${NO_SUCH}/a")


def test_every_recipe_of_the_project_parses() -> None:
    paths = [*ROOT.glob("recipes/*/dataset.toml"), *ROOT.glob("bench/quality/recipes/*.toml")]
    names = {Recipe.load(path).name for path in paths}
    assert {"movies", "news", "p1_ml100k", "p1_beauty"} <= names
    assert len(names) == len(paths)


def test_pair_tasks_and_side_tasks_keep_their_order() -> None:
    movies = Recipe.load(ROOT / "recipes" / "movies")
    assert [task.name for task in movies.pair_tasks] == ["interest", "like", "rating"]
    assert [task.name for task in movies.side_tasks] == ["genres", "graph"]
    assert movies.context_names == ("hour", "weekday")
