"""Folds of P3: every film of the training part is cold in one of them, and nothing of it is left there."""

from pathlib import Path

import numpy as np
import pandas as pd

from bench.quality.folds import FOLDS, deal


def quality(folder: Path) -> Path:
    """A quality folder with sixty films, of which the last six test."""
    (folder / "splits").mkdir()
    (folder / "score.py").write_text("")
    rows = pd.DataFrame({"user": np.arange(600) % 7, "item": np.arange(600) % 60, "rating": 3, "timestamp": 1})
    rows["split"], rows["valid_cold"] = np.where(rows["item"] >= 54, "test", "train"), 0
    rows.to_parquet(folder / "splits" / "p3_ml100k.parquet")
    return folder


def test_every_film_is_cold_once_and_the_test_films_never(tmp_path: Path) -> None:
    source, cold = quality(tmp_path), list[int]()
    for fold in range(FOLDS):
        out = tmp_path / str(fold)
        deal(source, fold, out)
        rows = pd.read_parquet(out / "splits" / "p3_ml100k.parquet")
        listed = pd.read_parquet(out / "splits" / "p3_ml100k_cold_items.parquet")["item"].tolist()
        test, train = rows[rows["split"] == "test"], rows[rows["split"] == "train"]
        assert set(test["item"]) == set(listed)
        assert not set(train["item"]) & set(listed)
        assert not set(train.loc[train["valid_cold"] == 1, "item"]) & set(listed)
        assert 0 < (train["valid_cold"] == 1).mean() < 0.3
        assert rows["item"].max() < 54
        cold += listed
        assert (out / "score.py").is_file()
    assert sorted(cold) == list(range(54))
