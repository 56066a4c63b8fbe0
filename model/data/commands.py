"""`polyrank data` and `polyrank check`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.config import Recipe, parse_changes
from model.data.checks import Check, run_checks
from model.data.loading import load
from model.data.sources import SOURCES
from model.errors import DataError

FAILED = 1


def data_command(arguments: argparse.Namespace) -> int:
    """Fetch `arguments.name` into a folder of that name under `arguments.out`; 0."""
    source = SOURCES.get(arguments.name)
    if source is None:
        raise DataError("data set", arguments.name, f"known are {', '.join(sorted(SOURCES))}")
    folder = source(Path(arguments.out), arguments.archive)
    sys.stdout.write(f"{folder}\n")
    return 0


def check_command(arguments: argparse.Namespace) -> int:
    """Run every check of a recipe and print the outcomes; 0, or 1 when one failed."""
    recipe = Recipe.load(arguments.recipe).changed(parse_changes(arguments.settings))
    dataset = load(recipe, arguments.data)
    counts = f"{len(dataset.log)} events, {len(dataset.users)} users, {len(dataset.items)} items"
    sys.stdout.write(f"{recipe.name}: {counts}\n")
    return report(run_checks(recipe, dataset))


def report(checks: Sequence[Check]) -> int:
    """Print checks; 1 when one failed."""
    failed = sum(not check.passed for check in checks)
    lines = [line for check in checks for line in check.lines()]
    lines.append(f"{len(checks)} checks, {failed} failed")
    sys.stdout.write("\n".join(lines) + "\n")
    return FAILED if failed else 0
