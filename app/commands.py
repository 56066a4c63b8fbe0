"""The batch commands: `polyrank recommend` and `polyrank score`."""

import argparse

from app.cli import Commands, lazily


def register(commands: Commands) -> None:
    """Add the batch commands; what they need is imported when one runs."""
    _recommend(commands.add_parser("recommend", help="lists for many users, without HTTP"))
    _score(commands.add_parser("score", help="every task's prediction for given pairs, without HTTP"))


def _recommend(parser: argparse.ArgumentParser) -> None:
    _common(parser, "log to take histories from, in place of the bundle's for the users it holds")
    parser.add_argument(
        "--users",
        required=True,
        metavar="FILE|all",
        help="a table with a user column (and columns of the context, for a list in each), or one id a line",
    )
    parser.add_argument("--n", type=_count, default=20, metavar="N", help="length of a list (20)")
    parser.add_argument("--target", default="item", choices=["item", "user", "scene"], help="what to recommend")
    parser.add_argument("--items", metavar="FILE", help="recommend only these items")
    parser.add_argument(
        "--seen", default="drop", choices=["drop", "keep"], help="whether lists leave out what a user had (drop)"
    )
    parser.add_argument(
        "--now",
        default="last",
        metavar="last|now|TIME",
        help="the moment of the lists: each user's newest event (default), the clock, or ISO-8601 or epoch seconds",
    )
    parser.set_defaults(run=lazily("app.batch.recommend:run"))


def _score(parser: argparse.ArgumentParser) -> None:
    _common(parser, "log to take histories and counters from, strictly before each pair's timestamp")
    parser.add_argument("--pairs", required=True, metavar="FILE", help="a table of user, item, and where known time")
    parser.set_defaults(run=lazily("app.batch.score:run"))


def _common(parser: argparse.ArgumentParser, events: str) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of a sealed bundle")
    parser.add_argument("--out", required=True, metavar="FILE", help="what to write: .parquet, .csv or .tsv")
    parser.add_argument("--events", metavar="FILE", help=events)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return value
