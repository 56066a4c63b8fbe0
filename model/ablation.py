"""`polyrank ablate`: train a recipe whole and with one part left out at a time, and tell what each part is worth."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from model.config import Recipe
from model.data.checks import refuse_failures, run_checks
from model.data.loading import load
from model.encoding import run_encoder
from model.job import THREADS, asked_recipe
from model.train.ablate import Figures, ablate, as_text, present, refuse_absent
from model.train.record import Record
from model.train.report import write_ablation
from model.train.texts import catalogue_texts
from model.train.threads import choose_threads


def ablate_command(arguments: argparse.Namespace) -> int:
    """`polyrank ablate`: prints the table, writes ablation.json and report.html, prints their folder."""
    recipe = asked_recipe(arguments)
    folder = arguments.out or Path("runs") / f"ablation-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    seeds = arguments.seeds or [recipe.training.seed]
    found = ablation(recipe, arguments.data, arguments.parts, seeds, folder)
    (folder / "ablation.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    facts = {"profile": arguments.profile, "seeds": ", ".join(map(str, seeds)), "made": f"{datetime.now(UTC):%Y-%m-%d}"}
    write_ablation(folder / "report.html", recipe.name, found, facts)
    sys.stdout.write(f"{as_text(found)}\n{folder}\n")
    return 0


def ablation(
    recipe: Recipe, data_dir: Path | None, parts: Sequence[str] | None, seeds: Sequence[int], folder: Path
) -> Figures:
    """The figures of `ablate` for a recipe's tables; without `parts`, of all that the recipe has."""
    choose_threads(THREADS)
    dataset = load(recipe, data_dir)
    refuse_failures(run_checks(recipe, dataset))
    wanted = list(parts or present(recipe, dataset))
    refuse_absent(recipe, dataset, wanted)
    texts = catalogue_texts(recipe.items.text if recipe.items else (), dataset)
    record = Record(folder / "texts")
    vectors = run_encoder(recipe, dataset, texts, record).vectors(texts, THREADS)
    record.close()
    return ablate(recipe, dataset, vectors, wanted, seeds, folder)
