"""Tiny recipes for tests of the data layer: rows in, recipe out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from model.config import Recipe

EVENTS = {"path": "log.csv", "user": "u", "item": "i", "event": "view", "timestamp": "t"}
TASK = {"name": "interest", "kind": "binary", "label": "event == 'view'", "negatives": 1}


def table(path: Path, header: str, *rows: str) -> Path:
    """Write a small CSV file."""
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def recipe(
    folder: Path,
    interactions: Mapping[str, object] | Sequence[Mapping[str, object]] = EVENTS,
    tasks: Sequence[Mapping[str, object]] = (TASK,),
    **rest: object,
) -> Recipe:
    """A recipe whose tables lie in `folder`."""
    data = {"name": "tiny", "interactions": interactions, "tasks": list(tasks), **rest}
    return Recipe.parse(data, folder / "dataset.toml")


def log(folder: Path, *rows: str, header: str = "u,i,t") -> Path:
    """Write log.csv."""
    return table(folder / "log.csv", header, *rows)
