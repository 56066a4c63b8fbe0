"""The `polyrank` command: finds the subcommands of every part by entry point, so that serving imports no training.

Each part offers `register(commands)`; a subparser it adds sets `run`, a function of the parsed arguments that returns
an exit status or None. Deliberate errors become one line on stderr and status 2.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn, TypeAlias, cast

from model.errors import PolyrankError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Register: TypeAlias = Callable[[Commands], None]

GROUP = "polyrank.commands"
OWN = ("app.serve:register", "app.operate:register")
FAILED = 2
INTERRUPTED = 130
EXTRAS = {
    "torch": "train",
    "transformers": "train",
    "pandas": "train",
    "sklearn": "train",
    "scipy": "train",
    "onnx": "train",
    "onnxscript": "train",
    "matplotlib": "train",
    "tensorboard": "train",
    "tqdm": "train",
    "pyarrow": "batch",
    "ray": "distributed",
    "pymilvus": "distributed",
}


class CommandError(PolyrankError):
    """A command cannot be carried out as it was asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `polyrank`; returns the exit status (0 done, 2 refused with one line on stderr)."""
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except PolyrankError as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `polyrank … | head` is no error; nothing more can be flushed, though
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(argv: Sequence[str]) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    run: Callable[[argparse.Namespace], int | None] | None = getattr(arguments, "run", None)
    if run is None:
        parser.print_help()
        return 0
    try:
        return run(arguments) or 0
    except ModuleNotFoundError as error:
        return _refused(missing_module(error))


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusals are one line, with a word on the parts that could not be imported."""

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line on stderr."""
        hint = f"; {self.epilog}" if self.epilog else ""
        self.exit(FAILED, f"{self.prog}: {message}; `{self.prog} --help` says more{hint}\n")


def build_parser(found: Iterable[EntryPoint] | None = None) -> Parser:
    """The parser with the commands of every part that imports here; its epilog names those that do not."""
    parser = Parser("polyrank", description="Online recommendation from one multi-task model.")
    commands = cast("Commands", parser.add_subparsers(title="commands", metavar="COMMAND"))
    points = entry_points(group=GROUP) if found is None else found
    own = (EntryPoint(name=value, value=value, group=GROUP) for value in OWN)
    missing = [line for point in (*own, *points) if (line := _register(point, commands))]
    if missing:
        parser.epilog = f"not available here: {', '.join(missing)}"
    return parser


def _register(point: EntryPoint, commands: Commands) -> str | None:
    """Let one part add its commands; a line that says why when it cannot be imported."""
    try:
        register: Register = point.load()
    except ModuleNotFoundError as error:
        return f"{point.value.partition(':')[0]} ({missing_module(error)})"
    register(commands)
    return None


def missing_module(error: ModuleNotFoundError) -> str:
    """The one line that names a missing module and the extra that brings it."""
    top = (error.name or "").partition(".")[0]
    if top in ("app", "index", "model"):
        return f"module {error.name}: found none; this installation of Polyrank lacks it"
    extra = EXTRAS.get(top, "serve")
    return f"module {error.name}: found none installed; this command needs `pip install 'polyrank[{extra}]'`"


def _refused(line: str) -> int:
    sys.stderr.write(f"polyrank: {line}\n")
    return FAILED


def lazily(target: str) -> Callable[[argparse.Namespace], int | None]:
    """The function `module:name`, imported only when it is called: help texts stay free of heavy imports."""

    def run(arguments: argparse.Namespace) -> int | None:
        module, _, name = target.partition(":")
        function: Callable[[argparse.Namespace], int | None] = getattr(importlib.import_module(module), name)
        return function(arguments)

    return run


if __name__ == "__main__":
    sys.exit(main())
