"""What a reviewer would stop at: unsafe loading, things left for later, tests that do not test, traces of a machine."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.architecture import tree

UNSAFE = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
CODE_FROM_TEXT = {"eval", "exec", "compile", "__import__"}
# Each pattern is put together here, so that this file does not find itself.
LEFT = re.compile(rf"\b({'TO' + 'DO'}|{'FIX' + 'ME'}|{'X' * 3}|HA{'CK'})\b|{'NotImplemented' + 'Error'}")
SKIPPED = re.compile(rf"pytest\.({'mark.'})?({'sk' + 'ip'}|{'x' + 'fail'}|{'import' + 'orskip'})")
BLANKET = re.compile(r"# type: " + r"ignore(?!\[[\w-]+(, ?[\w-]+)*\])|# no" + r"qa(?!: [A-Z]+\d+)")
HOSTS = re.compile(
    rf"{'pypi'}\.{'org'}|{'python'}{'hosted'}|{'deb.'}{'debian'}|{'registry.'}{'npmjs'}|{'docker'}\.{'io'}"
)
MACHINE = re.compile(rf"(?<![\w.])/({'wo' + 'rk'}|{'ro' + 'ot'}|{'Us' + 'ers'}|{'tmp/po' + 'ly'})/")
TEXT = (".py", ".md", ".toml", ".yml", ".yaml", ".txt", ".sh", ".cfg", "Makefile", "Dockerfile", "run", ".html", ".js")


def _lines(pattern: re.Pattern[str], *suffixes: str) -> list[str]:
    """Where a pattern occurs: file, line and the line itself."""
    return [
        f"{file}:{number} {line.strip()}"
        for file in tree.files(*suffixes)
        for number, line in enumerate(tree.text(file).splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_below_tests_is_a_package() -> None:
    assert not [file for file in tree.sources("tests") if file.name == "__init__.py"]


def test_test_files_have_names_of_their_own() -> None:
    names = Counter(file.name for file in tree.sources("tests"))
    assert not [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize("file", tree.sources(), ids=str)
def test_no_unsafe_loading(file: Path) -> None:
    assert not {name for name in tree.imports(file) if name.partition(".")[0] in UNSAFE}
    called = [node for node in tree.calls(file) if isinstance(node.func, ast.Name)]
    assert not [node.lineno for node in called if isinstance(node.func, ast.Name) and node.func.id in CODE_FROM_TEXT]


def test_loaders_are_told_to_read_data_only() -> None:
    for file in tree.sources():
        for node in tree.calls(file):
            name = ast.unparse(node.func)
            said = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert said.get("allow_pickle", "False") == "False", f"{file}:{node.lineno}"
            assert name != "torch.load" or said.get("weights_only") == "True", f"{file}:{node.lineno}"
            assert name not in {"yaml.load", "yaml.unsafe_load"}, f"{file}:{node.lineno}"


def test_nothing_is_left_for_later() -> None:
    assert not _lines(LEFT, ".py", ".toml", "Makefile", "Dockerfile", ".yml", "run")


def test_no_test_is_switched_off() -> None:
    assert not _lines(SKIPPED, ".py")


def test_exceptions_to_the_checkers_name_their_rule() -> None:
    assert not _lines(BLANKET, ".py")


def test_no_exception_is_swallowed_whole() -> None:
    handlers = [
        (file, node)
        for file in tree.sources()
        for node in ast.walk(tree.tree(file))
        if isinstance(node, ast.ExceptHandler)
    ]
    assert not [f"{file}:{node.lineno}" for file, node in handlers if node.type is None]
    silent = [f"{file}:{node.lineno}" for file, node in handlers if _catches_all(node) and _does_nothing(node)]
    assert not silent


def _catches_all(node: ast.ExceptHandler) -> bool:
    return isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}


def _does_nothing(node: ast.ExceptHandler) -> bool:
    return all(isinstance(one, ast.Pass | ast.Continue) for one in node.body)


def test_no_trace_of_a_registry_or_of_one_machine() -> None:
    assert not _lines(HOSTS, *TEXT)
    assert not _lines(MACHINE, *TEXT)


def test_every_test_has_something_that_can_fail() -> None:
    empty = [
        f"{file}:{function.lineno} {function.name}"
        for file in tree.sources("tests")
        if file.name.startswith("test_")
        for function in tree.functions(file)
        if function.name.startswith("test_") and not _can_fail(function)
    ]
    assert not empty


def _can_fail(function: tree.Function) -> bool:
    """An assertion, `pytest.raises`, or a call to a helper that checks (its name says so)."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call) and re.search(r"raises|assert|check|expect|refuse|warns", ast.unparse(node.func)):
            return True
    return False


def test_asserts_compare_something() -> None:
    constant = [
        f"{file}:{node.lineno}"
        for file in tree.sources("tests")
        for node in ast.walk(tree.tree(file))
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant)
    ]
    assert not constant
