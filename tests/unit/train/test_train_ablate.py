"""What is left out is left out, what is whole is a plain training, and the table says what the figures say."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import ablation
from model.config import Recipe
from model.data.loading import load
from model.data.log import Dataset
from model.data.spec import default_channels
from model.errors import TrainingError
from model.train.ablate import PARTS, Figures, ablate, as_text, present
from model.train.evaluate import evaluate
from model.train.fit import fit, used
from model.train.record import Record
from model.train.report import write_ablation
from model.train.system import of_fitted
from tests.graphs import tiny_encoder
from tests.worlds import write_world

SMALL = {
    "training.epochs": 2, "training.ranker_epochs": 1, "training.ranker_examples": 400, "training.slate": 8,
    "training.max_tokens": 16, "serving.candidates": 30,
}  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return Recipe.load(write_world(tmp_path_factory.mktemp("world"))).under("quick", SMALL)


@pytest.fixture(scope="module")
def dataset(recipe: Recipe) -> Dataset:
    return load(recipe)


@pytest.fixture(scope="module")
def text(dataset: Dataset) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(len(dataset.items), 8)).astype(np.float32)


def without(recipe: Recipe, part: str) -> Recipe:
    return recipe.changed(PARTS[part])


@pytest.fixture(scope="module")
def found(
    recipe: Recipe,
    dataset: Dataset,
    text: NDArray[np.float32],
    tmp_path_factory: pytest.TempPathFactory,
) -> Figures:
    return ablate(recipe, dataset, text, ["graph", "sharing"], [0], tmp_path_factory.mktemp("runs"))


def test_the_whole_is_a_plain_training(
    found: Figures,
    recipe: Recipe,
    dataset: Dataset,
    text: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    record = Record(tmp_path)
    plain = evaluate(recipe, dataset, of_fitted(fit(recipe, dataset, text, record))).figures
    record.close()
    assert found["graph"]["served list ndcg@10"]["whole"] == pytest.approx(plain["lists"]["polyrank"]["ndcg@10"])
    assert found["graph"]["like auc"]["whole"] == pytest.approx(plain["tasks"]["like"]["auc"])
    assert found["graph"]["rating rmse"]["whole"] == pytest.approx(plain["tasks"]["rating"]["rmse"], rel=1e-5)


@pytest.mark.parametrize("part", ["graph", "sharing"])
def test_leaving_a_part_out_changes_the_figures(found: Figures, part: str) -> None:
    assert {"served list ndcg@10", "served list hr@10", "interest auc", "like auc", "rating rmse"} <= found[part].keys()
    assert any(one["difference"] != 0.0 for one in found[part].values())
    for one in found[part].values():
        assert float(one["low"]) <= float(one["high"])
        assert float(one["difference"]) == pytest.approx(float(one["whole"]) - float(one["without"]))
    assert found["graph"]["like auc"]["whole"] == found["sharing"]["like auc"]["whole"]


def test_without_a_graph_no_graph_is_learned(recipe: Recipe, dataset: Dataset) -> None:
    changed, seen = used(without(recipe, "graph"), dataset)
    assert seen.graph is None
    assert [task.kind for task in changed.side_tasks] == ["item_attributes"]
    assert used(recipe, dataset) == (recipe, dataset)


def test_without_channels_only_the_towers_recall(recipe: Recipe, dataset: Dataset) -> None:
    less = without(recipe, "channels")
    assert [one.name for one in default_channels(less.training, dataset)] == ["tower"]


def test_without_any_content_it_is_no_channel_either(recipe: Recipe, dataset: Dataset) -> None:
    less = without(without(without(recipe, "graph"), "attributes"), "text")
    _, seen = used(less, dataset)
    names = [one.name for one in default_channels(less.training, seen)]
    assert names == ["tower", "cooccurrence", "ease"]


@pytest.mark.parametrize("part", ["distance", "links"])
def test_a_part_that_is_not_there_is_refused(part: str, recipe: Recipe, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=f"--parts: found '{part}'; this recipe has text, attributes, graph"):
        ablate(recipe, dataset, np.zeros((1, 1), np.float32), [part], [0], tmp_path)


def test_a_recipe_has_the_parts_that_it_declares(recipe: Recipe, dataset: Dataset) -> None:
    assert present(recipe.changed({"training.distill": 0.5}), dataset) == list(PARTS)
    assert present(recipe, dataset) == [part for part in PARTS if part != "distillation"]
    bare = recipe.model_copy(update={"items": None, "tasks": recipe.tasks[:1]})
    _, seen = used(without(recipe, "graph"), dataset)
    assert present(bare, seen) == ["attributes", "sequence", "context", "counters", "channels"]


def made(difference: float, verdict: str) -> dict[str, float | str]:
    return {
        "whole": 0.5, "without": 0.5 - difference, "difference": difference, "low": difference - 0.1,
        "high": difference + 0.1, "p": 0.1, "seeds": 1.0, "verdict": verdict,
    }  # fmt: skip


def test_the_table_marks_what_is_more_than_chance(tmp_path: Path) -> None:
    known: Figures = {"text": {"like auc": made(0.2, "helps")}, "graph": {"like auc": made(0.01, "no difference")}}
    head, line = as_text(known).splitlines()
    assert head.split() == ["whole", "no", "text", "no", "graph"]
    assert line.split() == ["like", "auc", "0.5000", "0.3000", "(-0.2000)*", "0.4900", "(-0.0100)"]
    write_ablation(tmp_path / "report.html", "movies", known, {"seeds": "0"})
    page = (tmp_path / "report.html").read_text()
    assert "movies: what each part is worth" in page
    assert page.count("<svg") == 1
    assert '<td class="n better">helps' in page


def test_the_command_writes_figures_and_a_report(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    settings = [f"training.encoder={tiny_encoder(tmp_path / 'encoder')}", "training.epochs=1"]
    settings += [f"{key}={value}" for key, value in SMALL.items() if key != "training.epochs"]
    arguments = argparse.Namespace(
        recipe=recipe.folder, data=None, profile="quick", seed=None, settings=settings, parts=["context"], seeds=None,
        out=tmp_path / "out",
    )  # fmt: skip
    assert ablation.ablate_command(arguments) == 0
    torch.set_num_threads(threads)
    assert "no context" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "ablation.json").read_text()).keys() == {"context"}
    assert (tmp_path / "out" / "report.html").is_file()
