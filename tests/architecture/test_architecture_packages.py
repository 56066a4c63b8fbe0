"""What is installed is pinned, and what serves is small."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.architecture import packages, tree

TRAINING_ONLY = {"torch", "transformers", "pandas", "scikit-learn", "scipy", "pyarrow", "onnx", "sentence-transformers"}
INSTALLED = ("serve", "train", "dev")
SERVE_CAP_MB = 400


def test_the_serve_extra_brings_nothing_that_trains() -> None:
    assert not packages.closure("serve") & TRAINING_ONLY


def test_the_serve_extra_stays_under_its_size() -> None:
    size = packages.size_mb(packages.closure("serve"))
    assert 50 < size < SERVE_CAP_MB, f"the serve extra takes {size:.0f} MB"


def test_serve_and_serve_gpu_differ_only_in_the_packages_that_share_module_names() -> None:
    both = [{one.name for one in packages.extras()[name]} for name in ("serve", "serve-gpu")]
    assert both[0] ^ both[1] == {"onnxruntime", "faiss-cpu", "onnxruntime-gpu", "faiss-gpu-cu12"}


@pytest.mark.parametrize("extra", list(packages.extras()))
def test_every_requirement_is_pinned_to_a_release_it_allows(extra: str) -> None:
    for one in packages.extras()[extra]:
        if one.name != "polyrank":
            assert one.specifier.contains(packages.pins()[canonicalize_name(one.name)]), one


@pytest.mark.parametrize("extra", INSTALLED)
def test_what_is_installed_is_what_is_pinned(extra: str) -> None:
    for name in packages.closure(extra):
        assert metadata.version(name).split("+")[0] == packages.pins()[name], name


def test_torch_is_exact() -> None:
    torch = next(one for one in packages.extras()["train"] if one.name == "torch")
    assert str(torch.specifier) == f"=={packages.pins()['torch']}"


def test_every_third_party_import_is_declared() -> None:
    everywhere = [one for given in packages.extras().values() for one in given]
    declared = {str(canonicalize_name(one.name)) for one in everywhere}
    product = {name for file in tree.sources(*tree.PRODUCT) for name in tree.imports(file)}
    used = packages.distributions_of({name.partition(".")[0] for name in product}) - {"polyrank"}
    # Each of these comes with the declared package that brings it, in the release that one was built for.
    brought = {"starlette", "typing-extensions", "anyio", "pydantic-core"}
    assert used <= declared | brought, f"imported but not declared: {sorted(used - declared - brought)}"


def test_constraints_hold_one_sorted_line_a_package() -> None:
    lines = tree.text(Path("constraints/all.txt")).splitlines()
    names = [canonicalize_name(line.split("==")[0]) for line in lines if not line.startswith("#")]
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if not line.startswith("#"))
