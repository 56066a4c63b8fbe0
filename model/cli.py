"""The offline subcommands: data, check, train, evaluate, ablate. What they run is imported only when they run."""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int | None]


def register(commands: Commands) -> None:
    """Add the subcommands to `polyrank`; each sets `run`, a function of the parsed arguments to an exit status."""
    for add in (_data, _check, _train, _evaluate, _ablate):
        add(commands)


def _data(commands: Commands) -> None:
    parser = commands.add_parser("data", help="fetch a public data set and write it as tidy tables")
    parser.add_argument("name", metavar="NAME", help="movielens-100k")
    parser.add_argument("--out", type=Path, default=Path("data"), help="folder that gets a folder NAME (data/)")
    parser.add_argument("--archive", type=Path, help="the source's file at hand, instead of fetching it")
    parser.set_defaults(run=_lazily("model.data.commands", "data_command"))


def _check(commands: Commands) -> None:
    parser = commands.add_parser("check", help="check a recipe against its tables")
    _recipe(parser)
    _settings(parser)
    parser.set_defaults(run=_lazily("model.data.commands", "check_command"))


def _train(commands: Commands) -> None:
    parser = commands.add_parser("train", help="learn a recipe's tasks and seal a bundle")
    _recipe(parser)
    parser.add_argument("--profile", default="full", help="quick, full, or one of [training.profiles] (full)")
    parser.add_argument("--out", type=Path, default=Path("bundles"), help="folder of bundles (bundles/)")
    parser.add_argument("--seed", type=int, help="instead of the recipe's")
    _settings(parser)
    parser.set_defaults(run=_lazily("model.job", "train_command"))


def _evaluate(commands: Commands) -> None:
    parser = commands.add_parser("evaluate", help="measure a bundle against popularity, item-kNN and EASE")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a sealed bundle")
    parser.add_argument(
        "--recipe", type=Path, metavar="RECIPE", help="where the recipe lies whose paths lead to the tables"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the tables, in place of the recipe's")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where report.html goes (the bundle's folder)")
    parser.set_defaults(run=_lazily("model.job", "evaluate_command"))


def _ablate(commands: Commands) -> None:
    parser = commands.add_parser("ablate", help="train with one part left out at a time: what each is worth")
    _recipe(parser)
    parser.add_argument("--profile", default="quick", help="quick, full, or one of [training.profiles] (quick)")
    parts = "text attributes graph sequence context counters sharing distillation channels (all there are)"
    parser.add_argument("--parts", nargs="+", metavar="PART", help=parts)
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="train from each (the recipe's)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of figures and report (runs/ablation-…)")
    _settings(parser)
    parser.set_defaults(run=_lazily("model.ablation", "ablate_command"), seed=None)


def _recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a dataset.toml or its folder")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the tables (the recipe's `data`)")


def _settings(parser: argparse.ArgumentParser) -> None:
    what = "change a key of the recipe, such as training.epochs=3 (may be repeated)"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help=what)


def _lazily(module: str, name: str) -> Run:
    """A command's function, imported when it is called: help texts need neither pandas nor torch."""

    def run(arguments: argparse.Namespace) -> int | None:
        function: Run = getattr(importlib.import_module(module), name)
        return function(arguments)

    return run
