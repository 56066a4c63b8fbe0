"""Long tables (an id and one value a row) as one table with a row an id, as a dataset.toml wants its items or users.

    python bench/quality/gathered.py OUT.csv --id userID artists=listened.tsv.gz:artistID:weight tags=tags.tsv.gz:tagID

Each column holds the values that weigh most in the id's rows (a row weighs 1 where no column says how much), at most
--most, joined by "|". The column `split` says train everywhere, so that the table can be a log of what everybody is
from the start as well.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd


def gathered(table: pd.DataFrame, key: str, value: str, weight: str | None, most: int) -> "pd.Series[str]":
    """The `most` values of each key whose rows weigh most (1 each without `weight`), joined, by key."""
    weights = pd.Series(1, table.index) if weight is None else table[weight]
    rows = weights.groupby([table[key], table[value]]).sum().rename("sum").reset_index()
    rows = rows.sort_values("sum", ascending=False, kind="stable")
    found: pd.Series[str] = rows.groupby(key).head(most).groupby(key)[value].agg(lambda some: "|".join(map(str, some)))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("columns", nargs="+", help="NAME=PATH:COLUMN or NAME=PATH:COLUMN:WEIGHT, tab separated")
    parser.add_argument("--id", required=True, help="the tables' column of ids")
    parser.add_argument("--most", type=int, default=50)
    asked = parser.parse_args(arguments)
    made = {}
    for told in asked.columns:
        name, _, source = told.partition("=")
        path, value, weight = (*source.split(":"), None)[:3]
        made[name] = gathered(pd.read_csv(path, sep="\t"), asked.id, value, weight, asked.most)
    pd.DataFrame(made).rename_axis("id").assign(split="train").to_csv(asked.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
