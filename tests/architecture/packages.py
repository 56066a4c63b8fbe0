"""The extras of pyproject.toml and what they bring along, read from the installed packages' own metadata."""

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture import tree

# Coverage runs inside the very process that a test looks at, when coverage is measured.
MEASURING = frozenset({"coverage"})


@cache
def extras() -> dict[str, list[Requirement]]:
    """Requirements by extra; the ones every installation has under the empty name."""
    project = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = {"": project["dependencies"], **project["optional-dependencies"]}
    return {name: [Requirement(one) for one in given] for name, given in listed.items()}


def declared(extra: str) -> list[Requirement]:
    """Requirements of an extra, those of every installation and of the extras it names included."""
    found = [*extras()[""], *extras()[extra]]
    inner = [more for one in found if one.name == "polyrank" for name in one.extras for more in declared(name)]
    return [*(one for one in found if one.name != "polyrank"), *inner]


def closure(extra: str) -> set[str]:
    """Canonical names of all distributions that an extra installs here."""
    found: set[tuple[str, str]] = set()
    _follow(declared(extra), found)
    return {name for name, _ in found}


def _follow(requirements: Iterable[Requirement], found: set[tuple[str, str]]) -> None:
    for one in requirements:
        for asked in ("", *one.extras):
            key = (canonicalize_name(one.name), asked)
            if key not in found:
                found.add(key)
                _follow(_needed(one.name, asked), found)


def _needed(name: str, extra: str) -> list[Requirement]:
    needed = [Requirement(line) for line in metadata.requires(name) or []]
    return [one for one in needed if one.marker is None or one.marker.evaluate({"extra": extra})]


def distributions_of(modules: Iterable[str]) -> set[str]:
    """Canonical names of the distributions that top-level modules belong to; the standard library has none."""
    owners = metadata.packages_distributions()
    return {str(canonicalize_name(owner)) for module in modules for owner in owners.get(module, ())}


def size_mb(distributions: Iterable[str]) -> float:
    """Megabytes of the installed files of distributions."""
    listed = (file for name in distributions for file in metadata.files(name) or [])
    return sum(path.stat().st_size for file in listed if (path := file.locate()).is_file()) / 1e6  # type: ignore[attr-defined]


@cache
def pins() -> dict[str, str]:
    """Version by canonical name in the constraints file."""
    lines = (tree.ROOT / "constraints" / "all.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {str(canonicalize_name(name)): version for name, version in pairs}
