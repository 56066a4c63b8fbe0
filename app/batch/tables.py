"""Tables of the batch commands: Parquet, or CSV and TSV (also .gz) by extension; ids stay the source's strings."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from model.features.spec import plain

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = {".csv": ",", ".tsv": "\t"}
MOVE = "name it .parquet, .csv or .tsv (the latter two also with .gz)"


def read_table(path: Path, text: Sequence[str] = ()) -> "pa.Table":
    """A file as a table; columns named in `text` are read as they are spelled. Raises DataError naming the file."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    separator = _separator(path)
    if not path.is_file():
        raise DataError(str(path), "no such file", "give the path of a file that is there")
    try:
        if separator is None:
            return parquet.read_table(path)
        return csv.read_csv(
            path,
            parse_options=csv.ParseOptions(delimiter=separator),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(text, pa.string())),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(str(path), str(error), "write it as Parquet or as UTF-8 text with a header line") from None


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns (arrays, lists or pyarrow arrays) as a file, whole or not at all."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    table, separator = pa.table(dict(columns)), _separator(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")  # keeps the extension, which says whether to compress
    if separator is None:
        parquet.write_table(table, part)
    else:
        with (
            pa.CompressedOutputStream(str(part), "gzip") if path.suffix == ".gz" else pa.OSFile(str(part), "wb") as out
        ):
            csv.write_csv(table, out, csv.WriteOptions(delimiter=separator))
    part.replace(path)


def check_writable(path: Path) -> None:
    """Raise DataError for a name whose extension says no format, before any work is done."""
    _separator(path)


def _separator(path: Path) -> str | None:
    """The separator that the extension tells, None for Parquet."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if path.suffix == ".parquet":
        return None
    if suffix not in SEPARATORS:
        raise DataError(str(path), path.suffix, MOVE)
    return SEPARATORS[suffix]


def first_name(table: "pa.Table", names: Sequence[str], what: str, path: Path) -> str:
    """The first of `names` that is a column; raises DataError that lists the columns there are."""
    found = next((name for name in names if name in table.column_names), None)
    if found is None:
        listed = ", ".join(dict.fromkeys(names))
        raise DataError(f"{path}: {what}", table.column_names, f"name a column one of {listed}")
    return found


def texts(column: "pa.ChunkedArray") -> list[str | None]:
    """A column as the vocabulary spells its values; None where there is none."""
    import pyarrow as pa

    if pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
        return [None if value is None or value != value else plain(value) for value in column.to_pylist()]
    found: list[str | None] = column.cast(pa.string()).to_pylist()
    return found


def ids(column: "pa.ChunkedArray", what: str) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct ids of a column in order of first sight, and each row's code [n]; DataError for a missing id."""
    codes: dict[str, int] = {}
    spelled = texts(column)
    if missing := sum(not one for one in spelled):
        raise DataError(what, f"{missing} rows without an id", "give every row an id")
    rows = np.fromiter((codes.setdefault(one or "", len(codes)) for one in spelled), np.int64, len(spelled))
    return list(codes), rows


def numbers(column: "pa.ChunkedArray") -> NDArray[np.float64]:
    """A column as numbers, float64 [n], NaN where there is none."""
    import pyarrow as pa

    found: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    return found


def times(column: "pa.ChunkedArray", what: str) -> NDArray[np.float64]:
    """Epoch seconds, ISO-8601 texts or timestamps as epoch seconds, float64 [n], NaN where there is none."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        return numbers(column.cast(pa.timestamp("us")).cast(pa.int64())) / 1e6
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return numbers(column)
    return np.asarray([np.nan if not one else moment(one, what) for one in texts(column)])


def moment(text: str, what: str) -> float:
    """Epoch seconds of a number or an ISO-8601 text (UTC when it names no offset); raises DataError."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(what, text, "give epoch seconds or ISO-8601, such as 2026-11-24T16:00:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
