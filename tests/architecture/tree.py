"""The repository as the architecture tests read it: its tracked files, their syntax trees, their functions."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("app", "index", "model")
CODE = (*PRODUCT, "bench", "deploy", "tests")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Public: TypeAlias = Function | ast.ClassDef


@cache
def files(*suffixes: str) -> tuple[Path, ...]:
    """Files of the repository (tracked, or new and not ignored) that end so, relative to ROOT; all without suffixes."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(Path(name) for name in sorted(set(found)) if (ROOT / name).is_file() and name.endswith(suffixes or ""))


def sources(*rooms: str) -> list[Path]:
    """Python files below these top folders, of all code by default."""
    return [file for file in files(".py") if file.parts[0] in (rooms or CODE)]


@cache
def text(file: Path) -> str:
    """What a file of the repository says."""
    return (ROOT / file).read_text(encoding="utf-8")


@cache
def tree(file: Path) -> ast.Module:
    """Syntax tree of a Python file."""
    return ast.parse(text(file), filename=str(file))


def functions(file: Path) -> Iterator[Function]:
    """Every function and method of a file, nested ones included."""
    return (node for node in ast.walk(tree(file)) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Lines of a body, its docstring left out."""
    has_docstring = ast.get_docstring(function, clean=False) is not None
    body = function.body[1:] if has_docstring else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def public(node: ast.Module | ast.ClassDef) -> Iterator[Public]:
    """Public classes, functions and methods of a module or class, without overloads and nested functions."""
    for child in node.body:
        if isinstance(child, Public) and not child.name.startswith("_") and not _repeats(child):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def _repeats(node: Public) -> bool:
    """Does a decorator say that the words stand elsewhere: `overload`, `override`, a property's `setter`?"""
    names = {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}
    return bool(names & {"overload", "override", "setter"})


def imports(file: Path) -> set[str]:
    """Names of the modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def calls(file: Path) -> Iterator[ast.Call]:
    """Every call of a file."""
    return (node for node in ast.walk(tree(file)) if isinstance(node, ast.Call))
