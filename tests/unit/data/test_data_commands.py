"""The commands: what they print, what they return, and that nothing heavy is imported to show their help."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from model.cli import register
from model.data.sources.movielens import SHA256
from model.errors import DataError, RecipeError
from tests.domains import table
from tests.wheels import archive
from tests.worlds import write_world


def run(*arguments: str) -> int | None:
    """Run a command as `polyrank` does."""
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    parsed = parser.parse_args(arguments)
    status: int | None = parsed.run(parsed)
    return status


def test_check_prints_every_check_and_returns_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", str(write_world(tmp_path))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("world: ")
    assert any(line.startswith("PASS  entities agree with the attributes: 0 of 12; agreement") for line in lines)
    assert lines[-1].endswith("checks, 0 failed")


def test_check_returns_1_when_one_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_world(tmp_path)
    with (tmp_path / "items.tsv").open("a", encoding="utf-8") as file:
        file.write("comedy/1\tA copy\tcomedy\t1990\n")
    assert run("check", str(path.parent)) == 1
    out = capsys.readouterr().out
    assert "FAIL  duplicate ids: 1 of 81; keep one row an id (the first is used)\n        row 81: 'comedy/1'" in out


def test_check_reads_the_tables_where_it_is_told_and_takes_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_world(tmp_path / "recipe")
    (tmp_path / "data").mkdir()
    table(tmp_path / "data" / "ratings.tsv", "user_id\titem_id\trating\ttimestamp\tdevice", "u1\tcomedy/1\t5\t9\ttv")
    run("check", str(path), "--data", str(tmp_path / "data"))
    assert "1 events" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"table: found 'nowhere.tsv'"):
        run("check", str(path), "--set", 'graph.link={path="nowhere.tsv"}')
    with pytest.raises(RecipeError, match=r"split\.kind: found 'random'"):
        run("check", str(path), "--set", "split.kind=random")


def test_data_refuses_a_name_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data set: found 'netflix'; known are movielens-100k"):
        run("data", "netflix")
    path, _ = archive(tmp_path)
    with pytest.raises(DataError, match="sha256 of recbole"):
        run("data", "movielens-100k", "--out", str(tmp_path), "--archive", str(path))


def test_data_prints_where_the_tables_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "movielens-100k"
    folder.mkdir()
    (folder / "source.txt").write_text(SHA256, encoding="utf-8")
    assert run("data", "movielens-100k", "--out", str(tmp_path)) == 0
    assert capsys.readouterr().out == f"{folder}\n"


def test_train_and_evaluate_know_their_flags() -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    train = parser.parse_args(["train", "recipes/movies", "--profile", "quick", "--seed", "3", "--set", "a.b=1"])
    assert (train.profile, train.out, train.seed, train.settings, train.data) == (
        "quick", Path("bundles"), 3, ["a.b=1"], None,
    )  # fmt: skip
    evaluate = parser.parse_args(["evaluate", "bundles/current", "--report", "r.html"])
    assert (evaluate.bundle, evaluate.report) == (Path("bundles/current"), Path("r.html"))


def test_registering_imports_nothing_heavy() -> None:
    heavy = "{'pandas', 'torch', 'pyarrow', 'transformers'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, model.cli; print({heavy})"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
