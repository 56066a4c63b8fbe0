"""`polyrank data`: the archive is verified, read as files and written whole; pip's refusals become one line."""

import csv
from pathlib import Path

import pytest

from model.data.sources import SOURCES
from model.data.sources.movielens import movielens_100k
from model.errors import DataError
from tests.wheels import FILES, archive


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))


def test_the_tables_are_tidy(tmp_path: Path) -> None:
    path, sha256 = archive(tmp_path)
    folder = movielens_100k(tmp_path / "data", path, sha256)
    assert folder == tmp_path / "data" / "movielens-100k"
    assert rows(folder / "ratings.tsv") == [
        ["user_id", "item_id", "rating", "timestamp"],
        ["196", "242", "3", "881250949"],
        ["1", "9", "5", "88"],
    ]
    assert rows(folder / "items.tsv") == [
        ["item_id", "title", "release_year", "genres"],
        ["9", '"Say" it', "1995", "Comedy|Sci-Fi"],
        ["242", "unkonwn", "", ""],
    ]
    assert rows(folder / "users.tsv")[1] == ["1", "24", "M", "other", "01002"]
    assert rows(folder / "kg.tsv") == [["head", "relation", "tail"], ["m.1", "film.film.genre", "m.2"]]
    assert rows(folder / "links.tsv") == [["item_id", "entity_id"], ["7", "m.1"]]


def test_tables_that_are_there_are_kept_and_half_ones_replaced(tmp_path: Path) -> None:
    path, sha256 = archive(tmp_path)
    folder = movielens_100k(tmp_path, path, sha256)
    (folder / "kg.tsv").write_text("mine", encoding="utf-8")
    movielens_100k(tmp_path, tmp_path / "away.whl", sha256)
    assert (folder / "kg.tsv").read_text(encoding="utf-8") == "mine"
    (folder / "source.txt").unlink()
    movielens_100k(tmp_path, path, sha256)
    assert rows(folder / "kg.tsv")[0] == ["head", "relation", "tail"]
    assert {one.name for one in tmp_path.iterdir()} == {"movielens-100k", path.name}


def test_an_archive_of_another_digest_is_refused(tmp_path: Path) -> None:
    path, _ = archive(tmp_path)
    with pytest.raises(
        DataError, match=r"sha256 of recbole==1.2.1: found '[0-9a-f]{64}'; expected 9c9948.*that you trust"
    ):
        SOURCES["movielens-100k"](tmp_path, path)
    with pytest.raises(DataError, match=r"nowhere.whl: found .*No such file.*give the file with --archive"):
        SOURCES["movielens-100k"](tmp_path, tmp_path / "nowhere.whl")


def test_an_archive_without_a_file_or_column_is_refused_and_nothing_written(tmp_path: Path) -> None:
    path, sha256 = archive(tmp_path, {name: text for name, text in FILES.items() if name != "kg"})
    with pytest.raises(DataError, match=r"file .*ml-100k.kg: found .*the archive does not hold it"):
        movielens_100k(tmp_path / "data", path, sha256)
    assert not (tmp_path / "data" / "movielens-100k").exists()
    path, sha256 = archive(tmp_path, {**FILES, "link": "item\tentity_id:token\n"})
    with pytest.raises(DataError, match=r"table .link: found .*it lacks the columns \['item_id:token'\]"):
        movielens_100k(tmp_path / "data", path, sha256)


def test_pip_fetches_it_from_wherever_it_is_told_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    _, sha256 = archive(tmp_path / "wheels")
    _offline(monkeypatch, tmp_path / "wheels")
    folder = movielens_100k(tmp_path / "data", sha256=sha256)
    assert (folder / "source.txt").read_text(encoding="utf-8") == f"{sha256}\n"


def test_pips_refusal_is_one_line_with_a_next_move(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    _offline(monkeypatch, tmp_path / "none")
    with pytest.raises(
        DataError, match=r"recbole==1.2.1: found 'ERROR: .*; check the network and pip's index settings"
    ):
        movielens_100k(tmp_path)


def _offline(monkeypatch: pytest.MonkeyPatch, wheels: Path) -> None:
    """Let pip know this folder and nothing else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
