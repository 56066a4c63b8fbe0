"""A sealed bundle as an engine, for commands."""

from dataclasses import replace
from pathlib import Path

from app.pipeline.engine import Engine
from app.pipeline.request import MAX_N
from app.pipeline.settings import EngineSettings
from index.catalogue import LiveCatalogue
from model.bundle import open_bundle


def open_engine(path: Path, most: int = MAX_N) -> Engine:
    """The engine of a bundle, for lists of at most `most` items; raises BundleError for one that does not verify."""
    bundle = open_bundle(path)
    settings = EngineSettings.of_bundle(bundle)
    return Engine(bundle, LiveCatalogue(bundle), settings=replace(settings, max_n=max(MAX_N, most)))
