"""Tables as files: which columns they have, and those that are wanted as a pandas frame."""

import csv
import difflib
import gzip
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow
import pyarrow.parquet

from model.config import FileTable, Recipe
from model.errors import DataError, RecipeError

BROKEN = "give a Parquet, CSV or TSV file, or a .gz of one, and see to its separator, quotes and encoding"
UNREADABLE = (ValueError, OSError, EOFError, LookupError, csv.Error, pyarrow.ArrowException)
SEPARATORS = {".tsv": "\t", ".tab": "\t", ".csv": ",", ".txt": "\t"}


@dataclass(frozen=True, slots=True)
class Table:
    """One declared table and its file; `name` is how messages call it."""

    declared: FileTable
    path: Path
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """The path as the recipe spells it."""
        return self.declared.path

    def require(self, columns: Iterable[str | None]) -> None:
        """Raise DataError when a declared column (None: not declared) is not in the file."""
        for column in columns:
            if column is not None and column not in self.columns:
                near = difflib.get_close_matches(column, self.columns, 1)
                hint = f"did you mean {near[0]}? " if near else ""
                known = ", ".join(self.columns)
                raise DataError(f"table {self.name}: column", column, f"{hint}it has the columns {known}")

    def read(self, columns: Collection[str], text: Collection[str] = ()) -> pd.DataFrame:
        """Some columns, all rows; those in `text` are never taken for numbers. Raises DataError for a broken file."""
        wanted = [column for column in self.columns if column in columns]
        try:
            frame = self._parquet(wanted) if _is_parquet(self.path) else self._delimited(wanted, text)
        except UNREADABLE as error:
            raise DataError(f"table {self.name}", str(error), BROKEN) from error
        if frame.empty:
            raise DataError(f"table {self.name}", "no rows", "give a file that holds rows")
        return frame

    def _parquet(self, wanted: list[str]) -> pd.DataFrame:
        return pd.read_parquet(self.path, columns=wanted, dtype_backend="numpy_nullable")  # big ids beside nulls

    def _delimited(self, wanted: list[str], text: Collection[str]) -> pd.DataFrame:
        """Only an empty field is null: NA is a country."""
        return pd.read_csv(  # all columns: with usecols pandas would cut a row that is too long and say nothing
            self.path,
            sep=_separator(self.declared),
            dtype=dict.fromkeys([one for one in wanted if one in text], str),
            header=None if self.declared.columns else 0,
            names=list(self.columns) if self.declared.columns else None,
            quoting=_quoting(self.declared),
            encoding=self.declared.encoding,
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
        )[wanted]


def open_table(recipe: Recipe, table: FileTable, data_dir: Path | None) -> Table:
    """Find a declared table and read its header; raises DataError when it is away or has no columns."""
    path = recipe.resolve(table.path, data_dir)
    columns = _columns(table, path)
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise DataError(f"table {table.path}: columns", twice, "give each column its own name")
    return Table(table, path, tuple(columns))


def _columns(table: FileTable, path: Path) -> list[str]:
    """Declared columns, else those of the header; DataError when the first row has more fields than that."""
    try:
        if _is_parquet(path):
            return list(pyarrow.parquet.read_schema(path).names)
        first, second = _first_lines(table, path)
    except UNREADABLE as error:
        raise DataError(f"table {table.path}", str(error), BROKEN) from None
    columns, row = (list(table.columns), first) if table.columns else (first, second)
    if len(row) > len(columns):
        raise DataError(
            f"table {table.path}: row 1", row, f"it has more fields than the {len(columns)} columns; {BROKEN}"
        )
    return [column.removeprefix("\ufeff") for column in columns]


def _first_lines(table: FileTable, path: Path) -> tuple[list[str], list[str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding=table.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=_separator(table), quoting=_quoting(table))
        return next(reader, []), next(reader, [])


def _is_parquet(path: Path) -> bool:
    return path.suffix in (".parquet", ".pq")


def _quoting(table: FileTable) -> Literal[0, 3]:
    return csv.QUOTE_MINIMAL if table.quotes else csv.QUOTE_NONE


def _separator(table: FileTable) -> str:
    """The declared separator, else the one of the file's suffix (before .gz)."""
    suffix = Path(table.path.removesuffix(".gz")).suffix
    if table.separator is None and suffix not in SEPARATORS:
        raise RecipeError(
            f"table {table.path}", suffix, f"name it .parquet or {', '.join(SEPARATORS)}, or give separator"
        )
    return table.separator or SEPARATORS[suffix]
