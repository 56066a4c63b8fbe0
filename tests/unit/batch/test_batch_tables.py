"""Tables by extension: ids as spelled, times in every form, whole files or none."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.batch.tables import check_writable, first_name, ids, moment, numbers, read_table, texts, times, write_table
from model.errors import DataError

COLUMNS: dict[str, Any] = {
    "user_id": ["007", "a/b"],
    "rank": np.asarray([1, 2], np.int32),
    "score": np.asarray([0.5, 0.25]),
}


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv", "t.csv.gz", "t.tsv.gz"])
def test_what_is_written_reads_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / name
    write_table(path, COLUMNS)
    table = read_table(path, ["user_id"])
    assert table.to_pydict() == {"user_id": ["007", "a/b"], "rank": [1, 2], "score": [0.5, 0.25]}
    assert [one.name for one in path.parent.iterdir()] == [name]


def test_the_file_is_of_the_kind_its_name_says(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv.gz", COLUMNS)
    assert (tmp_path / "t.csv.gz").read_bytes()[:2] == b"\x1f\x8b"
    write_table(tmp_path / "t.tsv", COLUMNS)
    assert (tmp_path / "t.tsv").read_text().splitlines()[0] == '"user_id"\t"rank"\t"score"'
    write_table(tmp_path / "t.parquet", COLUMNS)
    assert parquet.read_schema(tmp_path / "t.parquet").names == list(COLUMNS)


def test_other_extensions_are_refused() -> None:
    with pytest.raises(DataError, match=r"out\.xlsx: found '\.xlsx'; name it \.parquet, \.csv or \.tsv"):
        check_writable(Path("out.xlsx"))
    with pytest.raises(DataError, match=r"out\.json\.gz"):
        check_writable(Path("out.json.gz"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.parquet: found 'no such file'"):
        read_table(tmp_path / "gone.parquet")


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"t\.parquet: .*write it as Parquet or as UTF-8 text"):
        read_table(tmp_path / "t.parquet")


def column(values: Any, kind: Any = None) -> Any:
    return pa.chunked_array([pa.array(values, kind)])


@pytest.mark.parametrize(
    ("values", "kind", "spelled"),
    [
        (["007", None], None, ["007", None]),
        ([7, -3], pa.int64(), ["7", "-3"]),
        ([7.0, float("nan"), 0.5], pa.float64(), ["7", None, "0.5"]),
        ([True, None], None, ["true", None]),
        (pa.array(["a", "b"]).dictionary_encode(), None, ["a", "b"]),
    ],
)
def test_values_are_spelled_as_the_vocabulary_does(values: Any, kind: Any, spelled: list[str | None]) -> None:
    assert texts(column(values, kind)) == spelled


def test_ids_are_distinct_in_order_of_first_sight() -> None:
    names, codes = ids(column(["b", "a", "b"]), "users")
    assert (names, codes.tolist()) == (["b", "a"], [0, 1, 0])


@pytest.mark.parametrize("values", [["a", None], ["a", ""]])
def test_missing_ids_are_counted(values: list[str | None]) -> None:
    with pytest.raises(DataError, match=r"users: found '1 rows without an id'; give every row an id"):
        ids(column(values), "users")


def test_numbers_and_their_absence() -> None:
    np.testing.assert_array_equal(numbers(column([1, None], pa.int64())), [1.0, np.nan])


WHEN = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "values",
    [
        [int(WHEN.timestamp()), None],
        [WHEN.timestamp(), None],
        ["2026-11-24T16:00:00Z", ""],
        ["2026-11-24 18:00:00+02:00", None],
        ["2026-11-24T16:00:00", None],
        [str(WHEN.timestamp()), None],
        [WHEN, None],
        [WHEN.replace(tzinfo=None), None],
    ],
)
def test_times_in_every_form(values: list[Any]) -> None:
    np.testing.assert_array_equal(times(column(values), "t"), [WHEN.timestamp(), np.nan])


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match=r"--now: found 'soon'; give epoch seconds or ISO-8601"):
        moment("soon", "--now")


def test_a_missing_column_names_those_there_are() -> None:
    with pytest.raises(DataError, match=r"f\.csv: user: found \['a'\]; name a column one of user_id, user"):
        first_name(pa.table({"a": [1]}), ["user_id", "user"], "user", Path("f.csv"))
