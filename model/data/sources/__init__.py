"""Public data sets that `polyrank data NAME` fetches and writes as tidy tables."""

from pathlib import Path
from typing import Protocol

from model.data.sources.movielens import movielens_100k


class Source(Protocol):
    """Fetches one data set (or takes the given archive) and writes its tables into a folder of its name under `out`."""

    def __call__(self, out: Path, archive: Path | None = None) -> Path: ...


SOURCES: dict[str, Source] = {"movielens-100k": movielens_100k}

__all__ = ["SOURCES", "Source", "movielens_100k"]
