"""P3 over nine folds of films: every film that P3 trains on is cold once.

    POLYRANK_QUALITY_DIR=… POLYRANK_DATA_DIR=… python -m bench.quality.folds --profile quick
    …                                          python -m bench.quality.folds --set training.graph=false

One draw of cold films says little (ten well-known ones more or less move the figure). The films of P3's training part
are dealt into nine folds; a fold's films lose all their rows, the next fold's are played cold to validate, P3's own
test films are left out altogether, and everything else is as in run.py. The last line is one JSON object.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.quality.run import one_run, spread

FOLDS = 9


def deal(quality: Path, fold: int, out: Path) -> None:
    """Write the quality folder of one fold: the scorer, its rows and its cold films."""
    (out / "splits").mkdir(parents=True)
    shutil.copy(quality / "score.py", out)
    rows = pd.read_parquet(quality / "splits" / "p3_ml100k.parquet")
    rows = rows[rows["split"] == "train"]
    films = np.sort(rows["item"].unique())
    of = pd.Series(np.random.default_rng(0).permutation(len(films)) % FOLDS, films)
    dealt = of.reindex(rows["item"]).to_numpy()
    rows = rows.assign(split=np.where(dealt == fold, "test", "train"), valid_cold=(dealt == (fold + 1) % FOLDS) * 1)
    rows.to_parquet(out / "splits" / "p3_ml100k.parquet", index=False)
    cold = pd.DataFrame({"item": films[of.to_numpy() == fold]})
    cold.to_parquet(out / "splits" / "p3_ml100k_cold_items.parquet", index=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0 when every fold could be scored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", nargs="+", type=int, default=list(range(FOLDS)), help="which of them")
    parser.add_argument("--profile", default="quick", choices=["quick", "full"])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="as `polyrank train --set`")
    asked = parser.parse_args(arguments)
    quality, runs = Path(os.environ["POLYRANK_QUALITY_DIR"]), []
    for fold in asked.folds:
        with tempfile.TemporaryDirectory(prefix="polyrank-fold-") as folder:
            deal(quality, fold, Path(folder) / "quality")
            os.environ["POLYRANK_QUALITY_DIR"] = str(Path(folder) / "quality")
            run = one_run("p3_ml100k", 0, asked.profile, Path(folder), asked.set)
        runs.append({"fold": fold, "minutes": run.minutes, **run.figures})
        print(json.dumps(runs[-1]), flush=True)
    found = {name: spread([run[name] for run in runs]) for name in runs[0] if name != "fold"}
    print(json.dumps({"profile": asked.profile, "set": asked.set, "runs": runs, "summary": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
