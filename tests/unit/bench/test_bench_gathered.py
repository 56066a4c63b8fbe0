"""Long tables gathered for a dataset.toml: a row an id, its commonest values first."""

from pathlib import Path

import pandas as pd

from bench.quality.gathered import main


def test_each_id_has_its_commonest_values_and_every_id_of_any_table_is_there(tmp_path: Path) -> None:
    (tmp_path / "heard.tsv").write_text("who\twhat\n1\ta\n1\tb\n1\tb\n2\tc\n")
    (tmp_path / "tags.tsv").write_text("who\ttag\n1\tx\n3\ty\n")
    heard, tags = (f"{name}={tmp_path}/{name}.tsv:{column}" for name, column in (("heard", "what"), ("tags", "tag")))
    assert main([str(tmp_path / "out.csv"), "--id", "who", "--most", "1", heard, tags]) == 0
    found = pd.read_csv(tmp_path / "out.csv").astype(object).where(lambda told: told.notna(), None)
    assert found.to_numpy().tolist() == [
        [1, "b", "x", "train"],
        [2, "c", None, "train"],
        [3, None, "y", "train"],
    ]
