"""The `polyrank` command: parts found by entry point, refusals in one line."""

import argparse
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from app.cli import CommandError, Commands, build_parser, lazily, main, missing_module
from model.errors import PolyrankError


def part(monkeypatch: pytest.MonkeyPatch, **commands: object) -> EntryPoint:
    """An entry point whose commands are functions of the parsed arguments."""

    def register(found: Commands) -> None:
        for name, run in commands.items():
            found.add_parser(name).set_defaults(run=run)

    module = ModuleType("some_part")
    module.register = register  # type: ignore[attr-defined] # made here
    monkeypatch.setitem(sys.modules, "some_part", module)
    return EntryPoint("some", "some_part:register", "polyrank.commands")


def run(monkeypatch: pytest.MonkeyPatch, command: object, *arguments: str) -> int:
    point = part(monkeypatch, test=command)
    monkeypatch.setattr("app.cli.entry_points", lambda group: [point])
    return main(["test", *arguments])


def test_the_commands_of_the_design_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in (
        "serve",
        "bundles",
        "events",
        "erase",
        "recommend",
        "score",
        "index",
        "data",
        "check",
        "train",
        "evaluate",
    ):
        assert f"\n    {name}" in text
    assert main([]) == 0
    assert capsys.readouterr().out == text


def test_a_command_gives_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, lambda arguments: None) == 0
    assert run(monkeypatch, lambda arguments: 3) == 3


def test_deliberate_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: argparse.Namespace) -> None:
        raise PolyrankError("thing", 7, "give another")

    assert run(monkeypatch, fail) == 2
    assert capsys.readouterr().err == "polyrank: thing: found 7; give another\n"


def test_an_interrupt_and_a_closed_pipe_are_no_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    assert run(monkeypatch, interrupted) == 130


def test_a_closed_pipe_ends_quietly() -> None:
    import subprocess

    code = "import sys; from app import cli; cli._run = lambda argv: (_ for _ in ()).throw(BrokenPipeError()); "
    done = subprocess.run([sys.executable, "-c", code + "sys.exit(cli.main([]))"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torch.nn", "module torch.nn: found none installed; this command needs `pip install 'polyrank[train]'`"),
        ("pyarrow", "this command needs `pip install 'polyrank[batch]'`"),
        ("faiss", "this command needs `pip install 'polyrank[serve]'`"),
        ("model.train", "module model.train: found none; this installation of Polyrank lacks it"),
    ],
)
def test_a_missing_module_names_the_extra(
    name: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: argparse.Namespace) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    assert expected in missing_module(ModuleNotFoundError("", name=name))
    assert run(monkeypatch, fail) == 2
    assert expected in capsys.readouterr().err


def test_a_part_that_does_not_import_is_named_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    parser = build_parser([EntryPoint("gone", "gone.cli:register", "polyrank.commands")])
    assert "gone.cli (module gone: found none installed" in str(parser.epilog)
    assert "serve" in parser.format_help()
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["train"])
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "invalid choice: 'train'" in line
    assert "not available here: gone.cli" in line


def test_wrong_arguments_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["serve", "--port", "x"], ["bundles"], ["bundles", "activate"], ["serve", "--nope"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_lazy_command_is_imported_when_it_runs() -> None:
    later = lazily("no_such_module:run")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        later(argparse.Namespace())
    assert lazily("app.cli:_refused")("a line") == 2  # type: ignore[arg-type] # any one-argument function does


def test_command_errors_are_polyrank_errors() -> None:
    with pytest.raises(PolyrankError, match="bundles rollback: found 'v1'; there is no other"):
        raise CommandError("bundles rollback", "v1", "there is no other")
