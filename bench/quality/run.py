"""`make bench-quality`: train from a recipe, answer through the batch commands, score with the fixed scorer.

    python bench/quality/run.py p1_ml100k p2_deskdrop --seeds 0 1 2 --profile quick

POLYRANK_QUALITY_DIR holds score.py and splits/; POLYRANK_DATA_DIR the raw data. Each protocol is a recipe beside this
file; nothing here knows a data set beyond its row in PROTOCOLS. The table goes to stdout, everything to --json, and
docs/quality.md is rewritten from that JSON with --write. The last line of stdout is one JSON object.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Protocol:
    """How one recipe is answered and scored: arguments of score.py, what to beat, arguments of the batch command.

    `peer` is the best single-purpose library's figure, `reach` what this project set out to reach.
    """

    score: tuple[str, str]
    peer: dict[str, float]
    reach: dict[str, float]
    command: tuple[str, ...]


LISTS = ("recommend", "--users", "all", "--n")
PAIRS = ("score", "--pairs")
SPLITS, DATA = "${POLYRANK_QUALITY_DIR}/splits", "${POLYRANK_DATA_DIR}"
PROTOCOLS = {
    "p1_ml100k": Protocol(("p1", "ml100k"), {"ndcg@10": 0.0845}, {"ndcg@10": 0.125}, (*LISTS, "50")),
    "p1_beauty": Protocol(("p1", "beauty"), {"ndcg@10": 0.0434}, {"ndcg@10": 0.074}, (*LISTS, "50")),
    "p2_deskdrop": Protocol(
        ("p2", "deskdrop"),
        {"like_auc": 0.769, "bookmark_auc": 0.764, "comment_auc": 0.797, "follow_auc": 0.807},
        {"mean_auc": 0.825},
        (*PAIRS, f"{SPLITS}/p2_deskdrop.parquet", "--events", f"{DATA}/deskdrop/users_interactions.csv.gz"),
    ),
    "p2_ml100k": Protocol(
        ("p2", "ml100k"),
        {"interest_auc": 0.810, "like_auc": 0.711, "rating_rmse": 1.035},
        {"interest_auc": 0.94, "like_auc": 0.78, "rating_rmse": 0.95},
        (*PAIRS, f"{SPLITS}/p2_ml100k.parquet", "--events", f"{SPLITS}/p2_ml100k.parquet"),
    ),
    "p2_retailrocket": Protocol(
        ("p2", "retailrocket"),
        {"cart_auc": 0.624, "buy_auc": 0.621},
        {"cart_auc": 0.66, "buy_auc": 0.66},
        (*PAIRS, f"{SPLITS}/p2_retailrocket.parquet", "--events", f"{DATA}/retailrocket/train_events.csv.gz"),
    ),
    "p3_ml100k": Protocol(
        ("p3", "ml100k"),
        {"ndcg@10": 0.371},
        {"ndcg@10": 0.49},
        (*LISTS, "168", "--items", f"{SPLITS}/p3_ml100k_cold_items.parquet"),
    ),
    "p4_lastfm": Protocol(
        ("p4", "lastfm"),
        {"ndcg@20": 0.219, "recall@20": 0.334},
        {},
        (*LISTS, "60", "--target", "user"),
    ),
}


@dataclass
class Run:
    """One seed of one protocol."""

    protocol: str
    seed: int
    minutes: float
    figures: dict[str, float] = field(default_factory=dict)


def polyrank(*arguments: str) -> None:
    """Run the command as a user would; its output goes to stderr, so that stdout stays the table."""
    print("+ polyrank", *arguments, file=sys.stderr, flush=True)
    subprocess.run([str(Path(sys.executable).parent / "polyrank"), *arguments], check=True, stdout=sys.stderr)


def one_run(name: str, seed: int, profile: str, work: Path, settings: Sequence[str] = ()) -> Run:
    """Train, answer and score one protocol with one seed; `settings` are KEY=VALUE of `polyrank train --set`."""
    protocol, started = PROTOCOLS[name], time.perf_counter()
    bundles, answers = work / f"{name}-{seed}", work / f"{name}-{seed}.parquet"
    recipe = HERE / "recipes" / f"{name}.toml"
    told = [word for setting in settings for word in ("--set", setting)]
    polyrank("train", str(recipe), "--profile", profile, "--seed", str(seed), "--out", str(bundles), *told)
    asked = [os.path.expandvars(argument) for argument in protocol.command[1:]]
    polyrank(protocol.command[0], str(bundles / "current"), *asked, "--out", str(answers))
    minutes = (time.perf_counter() - started) / 60
    return Run(name, seed, round(minutes, 2), score(protocol, answers))


def score(protocol: Protocol, answers: Path) -> dict[str, float]:
    """Figures of the fixed scorer for a file of answers."""
    scorer = Path(os.environ["POLYRANK_QUALITY_DIR"]) / "score.py"
    done = subprocess.run(
        [sys.executable, str(scorer), *protocol.score, str(answers)], check=True, capture_output=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    areas = [value for name, value in figures.items() if name.endswith("_auc")]
    return figures | ({"mean_auc": statistics.mean(areas)} if areas else {})


def summary(runs: Sequence[Run]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean, standard deviation and seed count of every figure by protocol."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in dict.fromkeys(run.protocol for run in runs):
        mine = [run for run in runs if run.protocol == name]
        found[name] = {figure: spread([run.figures[figure] for run in mine]) for figure in mine[0].figures}
        found[name]["minutes"] = spread([run.minutes for run in mine])
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and sample standard deviation of one figure over seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.mean(values), "sd": deviation, "seeds": len(values)}


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures as a Markdown table, with the peer's and the aim where there is one."""
    lines = ["| protocol | figure | best library peer | reach | Polyrank (mean ± sd, seeds) |", "|---|---|---|---|---|"]
    for name, figures in found.items():
        for figure, value in figures.items():
            peer, reach = (given.get(figure, "") for given in (PROTOCOLS[name].peer, PROTOCOLS[name].reach))
            measured = f"{value['mean']:.4f} ± {value['sd']:.4f} ({value['seeds']})"
            lines.append(f"| {name} | {figure} | {peer} | {reach} | {measured} |")
    return "\n".join(lines)


def machine() -> str:
    """The machine in words, for the date line of a table."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0 when every run could be scored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", nargs="*", default=list(PROTOCOLS), help=f"of {', '.join(PROTOCOLS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--profile", default="full", choices=["quick", "full"])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="as `polyrank train --set`")
    parser.add_argument("--write", action="store_true", help="rewrite docs/quality.md")
    parser.add_argument("--json", type=Path, help="write every run here")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.protocols if name not in PROTOCOLS]:
        parser.error(f"protocols: found {unknown}; use some of {', '.join(PROTOCOLS)}")
    for name, what in (("POLYRANK_QUALITY_DIR", "score.py and splits/"), ("POLYRANK_DATA_DIR", "the raw data")):
        if name not in os.environ:
            parser.error(f"{name} is not set; point it at the folder that holds {what}")
    with tempfile.TemporaryDirectory(prefix="polyrank-quality-") as work:
        runs = [
            one_run(name, seed, asked.profile, Path(work), asked.set)
            for name in asked.protocols
            for seed in asked.seeds
        ]
    found, now = summary(runs), datetime.now(UTC).date().isoformat()
    print(table(found))
    result = {
        "date": now,
        "machine": machine(),
        "profile": asked.profile,
        "set": asked.set,
        "runs": [asdict(run) for run in runs],
    }
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if asked.write:
        write(found, now, asked.profile)
    print(json.dumps(result | {"summary": found}))
    return 0


def write(found: dict[str, dict[str, dict[str, float]]], date: str, profile: str) -> None:
    """Rewrite docs/quality.md from what was measured."""
    head = f"# Quality\n\nMeasured {date} on {machine()}, profile `{profile}`:\n\n"
    command = "```\nPOLYRANK_QUALITY_DIR=… POLYRANK_DATA_DIR=… make bench-quality\n```\n\n"
    (ROOT / "docs" / "quality.md").write_text(f"{head}{command}{table(found)}\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
