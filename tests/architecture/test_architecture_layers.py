"""Imports flow one way, and what serves holds nothing that only trains."""

import json
import subprocess
import sys

from tests.architecture import packages, tree

SERVING = ("app", "index", "model.bundle", "model.features", "model.config")
LOADED = """
import importlib, json, pkgutil, sys
before = set(sys.modules)
def load(name):
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(package, "__path__", ()), name + "."):
        importlib.import_module(found.name)
for name in sys.argv[1:]:
    load(name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_import_contracts_hold() -> None:
    # A process of its own: the linter sets up logging anew and would switch off every logger made so far.
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tree.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_serving_module_imports_with_nothing_but_the_serve_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *SERVING], cwd=tree.ROOT, capture_output=True, text=True, check=True
    )
    foreign = packages.distributions_of(json.loads(done.stdout)) - packages.closure("serve")
    assert foreign <= {"polyrank", *packages.MEASURING}, f"loaded by serving, not in the serve extra: {sorted(foreign)}"


def test_a_package_is_split_by_its_layers_only() -> None:
    tops = {file.parts[0] for file in tree.files(".py")}
    assert tops <= {*tree.CODE, "recipes"}, "a new top folder needs a place in DESIGN's layout and in import-linter"
