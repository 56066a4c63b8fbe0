"""From a recipe to a sealed bundle and its figures, on a world whose right answers are known."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from app.cli import main
from index.encode import ItemEncoder
from model import job
from model.bundle import Bundle, open_bundle
from model.config import Recipe
from model.data.loading import load
from model.data.log import Dataset
from model.errors import BundleError, DataError
from model.features.graph import FOLDER, ItemFacts
from model.train.evaluate import Evaluation, evaluate
from model.train.system import System
from tests.graphs import tiny_encoder
from tests.worlds import COLD, add_links, genre_of, item_ids, liked, successor, user_ids, write_world

SETTINGS = {
    "training.max_tokens": 16, "training.epochs": 6, "training.ranker_epochs": 4, "training.seed": 3,
    "training.twins": True, "training.twin_seeds": 2, "training.learning_rate": 0.003, "training.slate": 15,
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A world, its recipe as trained, and the bundle."""

    recipe: Recipe
    dataset: Dataset
    folder: Path
    bundle: Bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """One training of the whole world, shared by the tests of this file."""
    folder = tmp_path_factory.mktemp("world")
    encoder = tiny_encoder(folder / "encoder")
    path = write_world(folder / "data")
    add_links(path)
    recipe = Recipe.load(path).under("quick", SETTINGS | {"training.encoder": str(encoder)})
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        bundle = job.train(recipe, None, folder / "bundles")
        yield Made(recipe, load(recipe), folder, open_bundle(bundle))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def system(made: Made) -> System:
    return job.bundle_system(made.recipe, made.bundle, made.dataset)


@pytest.fixture(scope="module")
def found(made: Made, system: System) -> Evaluation:
    return evaluate(made.recipe, made.dataset, system, made.recipe.training.seed)


def test_the_bundle_is_sealed_current_and_carries_its_proofs(made: Made) -> None:
    manifest = made.bundle.manifest
    assert (made.folder / "bundles" / "current").resolve() == made.bundle.path
    assert set(manifest.parity) == {"item_tower", "user_tower", "ranker", "ranker_loop"}
    assert all(one.max_abs_error <= one.tolerance for one in manifest.parity.values())
    assert manifest.dataset.fingerprint == made.dataset.fingerprint()
    assert set(manifest.calibration) == {"interest", "like", "rating"}


def test_every_pair_task_and_channel_is_in_the_spec(made: Made) -> None:
    spec = made.bundle.spec
    assert [task.name for task in spec.tasks] == ["interest", "like", "rating"]
    assert [one.name for one in spec.channels] == ["tower", "cooccurrence", "ease", "graph", "content"]
    assert len(made.bundle.neighbours("cooccurrence")) == len(made.bundle.items)


def test_an_items_successor_is_its_first_neighbour(made: Made) -> None:
    table, items = made.bundle.neighbours("cooccurrence"), made.bundle.items
    right = [
        items.id(int(table.of(items.row(item)).rows[0])) == successor(item) for item in item_ids() if item not in COLD
    ]
    assert np.mean(right) > 0.8


def test_the_graph_links_items_of_a_genre(made: Made) -> None:
    table, items = made.bundle.neighbours("graph"), made.bundle.items
    for item in (*COLD, "western/3"):
        near = [genre_of(items.id(int(row))) for row in table.of(items.row(item)).rows[:5]]
        assert near == [genre_of(item)] * 5


def test_facts_of_the_graph_are_kept_for_reasons(made: Made) -> None:
    facts, items = ItemFacts.open(made.bundle.path / FOLDER), made.bundle.items
    shared = facts.shared(items.row("western/1"), items.row("western/3"))
    assert shared == [("film.director", "p.western-1"), ("film.genre", "g.western")]


def test_two_stages_beat_every_peer(found: Evaluation) -> None:
    lists = {name: one["ndcg@10"] for name, one in found.figures["lists"].items()}
    assert lists["polyrank"] > max(lists["popularity"], lists["item-kNN"], lists["EASE"])


def test_likes_follow_the_liked_genre(made: Made, found: Evaluation) -> None:
    assert found.figures["tasks"]["like"]["auc"] > 0.8
    assert found.figures["tasks"]["rating"]["rmse"] < 1.3


def test_lists_are_of_the_genre_a_user_likes(made: Made, found: Evaluation) -> None:
    data = made.dataset
    hits = [
        genre_of(data.items.id(item)) == liked(data.users.id(int(data.log.user[row])))
        for row, some in zip(found.rows.tolist(), found.lists.tolist(), strict=True)
        for item in some[:5]
    ]
    assert np.mean(hits) > 0.6


def test_torch_and_the_sealed_graphs_say_the_same(made: Made, found: Evaluation) -> None:
    trained = made.bundle.manifest.metrics["lists"]["polyrank"]["ndcg@10"]
    assert found.figures["lists"]["polyrank"]["ndcg@10"] == pytest.approx(
        trained, abs=0.02
    )  # vectors are float16 there


def test_users_have_their_training_history_and_nothing_of_the_test_part(made: Made) -> None:
    data = made.dataset
    known = data.log.part(0, 1)
    for user in user_ids()[:20]:
        row = data.users.row(user)
        expected = known.item[known.user == row]
        np.testing.assert_array_equal(made.bundle.user_history(made.bundle.users.row(user)).rows, expected)


def test_items_without_events_have_no_id_but_a_vector(made: Made) -> None:
    ids, vectors = made.bundle.array("item_features/id_index.npy"), made.bundle.array("item_features/vectors.npy")
    for item in COLD:
        row = made.bundle.items.row(item)
        assert ids[row] == 0
        assert np.abs(vectors[row]).sum() > 0


def test_the_catalogues_texts_are_those_of_items_put_at_run_time(made: Made) -> None:
    bundle = made.bundle
    assert bundle.lexicon is not None
    found = ItemEncoder(bundle).texts([bundle.item_record(row) for row in range(len(bundle.items))])
    np.testing.assert_array_equal(found.astype(np.float16), bundle.array("item_features/text.npy"))
    assert found[:, -bundle.lexicon.width :].any(1).all()


def test_fallbacks_are_popular_by_context_and_by_scene(made: Made) -> None:
    fallbacks = made.bundle.fallbacks()
    counts = np.bincount(made.dataset.log.part(0, 1).item, minlength=len(made.dataset.items))
    rows = made.bundle.items.rows(fallbacks["popular"])
    assert (np.diff(counts[rows]) <= 0).all()
    assert set(fallbacks["by_context"]["device"]) == {"phone", "tv"}
    assert {genre_of(item) for item in fallbacks["scenes"]["evening_comedies"]} == {"comedy"}


def test_the_run_folder_has_figures_curves_and_events(made: Made) -> None:
    (run,) = [path for path in (made.folder / "runs").iterdir() if path.name != ".cache"]
    figures = json.loads((run / "metrics.json").read_text())
    assert figures["twins"].keys() == {"interest ndcg@10", "interest auc", "like auc", "rating rmse"}
    assert {"towers", "ranker", "export", "seal"} <= figures["minutes"].keys()
    assert any("tower/ndcg@10" in one for one in json.loads((run / "curves.json").read_text()))
    assert list(run.glob("events.out.tfevents.*"))


def test_the_report_is_one_file_with_plots_and_users(made: Made) -> None:
    text = (made.bundle.path / "report.html").read_text()
    assert text.count("<svg") >= 3
    assert "<script" not in text
    assert text.count("recommended") >= 10
    for part in ("Together and alone", "Calibration", "Number of interactions", "Exposure", "Groups of users"):
        assert f"{part}</h2>" in text


def test_the_manifest_tells_who_is_served_how_well(made: Made) -> None:
    metrics = made.bundle.manifest.metrics
    assert list(metrics["known"]) == ["0", "1", "2", "5", "10"]
    assert metrics["known"]["10"]["polyrank ndcg@10"] > 2 * metrics["known"]["0"]["polyrank ndcg@10"]
    assert set(metrics["groups"]["gender"]) == {"F", "M"}
    assert metrics["gaps"]["gender"]["low"] <= metrics["gaps"]["gender"]["difference"]
    assert sum(one["recommendations"] for one in metrics["exposure_by_popularity"].values()) == pytest.approx(1.0)


def test_evaluate_prints_the_table_and_writes_a_report(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    report = made.folder / "again.html"
    arguments = argparse.Namespace(bundle=made.bundle.path, recipe=made.folder / "data", data=None, report=report)
    assert job.evaluate_command(arguments) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("polyrank", "popularity", "item-kNN", "EASE", "interest"))
    assert "curves are not at hand" in report.read_text()


def test_evaluating_on_other_tables_is_refused(made: Made, tmp_path: Path) -> None:
    other = load(Recipe.load(write_world(tmp_path, seed=1)))
    with pytest.raises(DataError, match="give with --data the tables that the bundle was trained on"):
        job.check_ids(made.bundle, other)


def test_a_taken_version_gets_a_number(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v-2").mkdir()
    assert job.free_version(tmp_path, "v") == "v-3"


def test_without_a_sealer_training_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "entry_points", lambda group: ())
    with pytest.raises(BundleError, match=r"polyrank\.sealers: found None; install the package"):
        job.sealer()


def test_the_command_line_chooses_profile_seed_and_settings(made: Made) -> None:
    arguments = argparse.Namespace(recipe=made.folder / "data", profile="quick", seed=7, settings=["training.epochs=2"])
    recipe = job.asked_recipe(arguments)
    assert (recipe.training.seed, recipe.training.epochs, recipe.training.layers) == (7, 2, 1)


def test_people_are_recommended_to_those_who_like_the_same(made: Made, tmp_path: Path) -> None:
    people = made.bundle.people
    assert people is not None
    assert people.items.names == made.bundle.users.names
    assert people.manifest.metrics["tasks"]["link"]["auc"] > 0.7
    assert made.bundle.manifest.metrics["people"]["tasks"] == people.manifest.metrics["tasks"]
    out = tmp_path / "people.parquet"
    command = ["recommend", str(made.bundle.path), "--users", "all", "--n", "5", "--target", "user", "--out", str(out)]
    assert main(command) == 0
    told = pq.read_table(out).to_pylist()
    assert len(told) == 5 * len(user_ids())
    friends = pairs_of(made.folder / "data" / "friends.tsv")
    assert not any((one["user_id"], one["item_id"]) in friends for one in told)  # neither friends nor oneself
    assert np.mean([liked(one["user_id"]) == liked(one["item_id"]) for one in told]) > 0.7  # by lot: 1 in 4


def test_nobody_is_recommended_to_themselves_and_events_of_items_say_nothing_of_people(
    made: Made, tmp_path: Path
) -> None:
    out = tmp_path / "people.parquet"
    command = [
        "recommend",
        str(made.bundle.path),
        "--users",
        "all",
        "--n",
        "200",
        "--target",
        "user",
        "--out",
        str(out),
    ]
    assert main([*command, "--seen", "keep"]) == 0
    told = pq.read_table(out).to_pylist()
    assert len(told) == len(user_ids()) * (len(user_ids()) - 1)
    assert all(one["user_id"] != one["item_id"] for one in told)
    assert main([*command, "--events", str(made.folder / "data" / "ratings.tsv")]) != 0


def pairs_of(path: Path) -> set[tuple[str, str]]:
    """Everybody's known friends, both ways, and themselves."""
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    known = {(one, two) for one, two, part in rows if part != "test"}
    return known | {(two, one) for one, two in known} | {(one, one) for one in user_ids()}
