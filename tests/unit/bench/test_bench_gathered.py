"""Long tables gathered for a dataset.toml: a row an id, its commonest values first."""

from pathlib import Path

import pandas as pd

from bench.quality.gathered import main


def test_each_id_has_what_weighs_most_and_every_id_of_any_table_is_there(tmp_path: Path) -> None:
    (tmp_path / "heard.tsv").write_text("who\twhat\tplays\n1\ta\t2\n1\tb\t3\n1\ta\t0\n2\tc\t1\n")
    (tmp_path / "tags.tsv").write_text("who\ttag\n1\tw\n1\tx\n1\tx\n3\ty\n")
    told = (("heard", "what:plays"), ("tags", "tag"))
    heard, tags = (f"{name}={tmp_path}/{name}.tsv:{columns}" for name, columns in told)
    assert main([str(tmp_path / "out.csv"), "--id", "who", "--most", "1", heard, tags]) == 0
    found = pd.read_csv(tmp_path / "out.csv").astype(object).where(lambda told: told.notna(), None)
    assert found.to_numpy().tolist() == [
        [1, "b", "x", "train"],
        [2, "c", None, "train"],
        [3, None, "y", "train"],
    ]
