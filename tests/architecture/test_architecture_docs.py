"""The documents say what is there."""

import ast
import re
from pathlib import Path

import pytest

from app import settings
from app.cli import build_parser
from tests.architecture import tree

DOCUMENTS = [file for file in tree.files(".md") if file.parts[0] not in {"LICENSE"}]
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
PATH = re.compile(r"`((?:app|index|model|tests|bench|deploy|recipes|docs)/[\w./-]+)`")


@pytest.mark.parametrize("file", tree.sources(*tree.PRODUCT), ids=str)
def test_public_things_say_what_they_are(file: Path) -> None:
    names = [node.name for node in tree.public(tree.tree(file)) if not ast.get_docstring(node)]
    assert not names, f"{file}: no docstring at {names}"


@pytest.mark.parametrize("name", settings.Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{settings.PREFIX}{name.upper()}`" in tree.text(Path("docs/operations.md"))


def test_documented_defaults_are_the_real_ones() -> None:
    rows = re.findall(r"^\| `POLYRANK_(\w+)` \| (\S+) \|", tree.text(Path("docs/operations.md")), re.MULTILINE)
    defaults = {name.upper(): field.default for name, field in settings.Settings.model_fields.items()}
    assert {name: _shown(value) for name, value in defaults.items()} == dict(rows)


def _shown(value: object) -> str:
    """A default as the table has it: nothing is a dash, whole numbers have no point, truth is lower case."""
    if value is None or value == ():
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def test_no_setting_is_documented_that_is_none() -> None:
    known = {settings.PREFIX + name.upper() for name in settings.Settings.model_fields}
    known |= {settings.PREFIX + name for name in settings.ELSEWHERE}
    for file in DOCUMENTS:
        told = set(re.findall(rf"{settings.PREFIX}[A-Z_]+\b", tree.text(file)))
        assert told <= known, f"{file}: {sorted(told - known)}"


def test_make_targets_named_in_documents_exist() -> None:
    targets = set(TARGET.findall(tree.text(Path("Makefile"))))
    for file in DOCUMENTS:
        told = set(re.findall(r"`make ([a-z-]+)", tree.text(file)))
        assert told <= targets, f"{file}: {sorted(told - targets)}"


def test_commands_named_in_documents_exist() -> None:
    choices = build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr] # argparse's only way
    for file in DOCUMENTS:
        told = set(re.findall(r"(?:`|^)polyrank ([a-z]+)", tree.text(file), re.MULTILINE))
        assert told <= set(choices or ()), f"{file}: {sorted(told - set(choices or ()))}"


@pytest.mark.parametrize("file", DOCUMENTS, ids=str)
def test_links_between_documents_lead_somewhere(file: Path) -> None:
    dead = [to for to in LINK.findall(tree.text(file)) if not (tree.ROOT / file.parent / to).exists()]
    assert not dead


@pytest.mark.parametrize("file", DOCUMENTS, ids=str)
def test_paths_named_in_documents_exist(file: Path) -> None:
    assert not [path for path in PATH.findall(tree.text(file)) if not (tree.ROOT / path).exists()]


def test_the_readme_shows_the_two_commands_and_the_two_requests() -> None:
    readme = tree.text(Path("README.md"))
    for needed in ("make demo", "make test", "/recommend", "/feedback", "dataset.toml"):
        assert needed in readme
