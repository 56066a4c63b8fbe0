"""`polyrank index` and the entry point that training seals by."""

import argparse
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from index.build import seal
from index.cli import register
from model.bundle import open_bundle
from model.errors import GateError
from tests.tiny_bundles import write_tiny


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    return parser.parse_args(["index", *arguments])


def test_the_command_seals_and_says_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = parsed(str(write_tiny(tmp_path)), "--gate", "0.99")
    arguments.run(arguments)
    said = capsys.readouterr().out
    assert "items.faiss: Flat, recall@100 1.0000 (gate 0.99)" in said
    assert "users.faiss: Flat, recall@100 1.0000 (gate 0.99)" in said
    assert "sealed v1, content " in said
    assert open_bundle(tmp_path / "v1").manifest.gates["items.faiss"]["gate"] == 0.99


def test_the_gate_is_97_of_100_unless_told(tmp_path: Path) -> None:
    assert parsed("x").gate == 0.97
    arguments = parsed(str(write_tiny(tmp_path)), "--gate", "7")
    with pytest.raises(GateError, match=r"gate: found 7.0"):
        arguments.run(arguments)


def test_training_finds_the_sealer() -> None:
    assert [point.load() for point in entry_points(group="polyrank.sealers")] == [seal]
