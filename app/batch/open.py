"""A sealed bundle as an engine, for commands."""

from dataclasses import replace
from pathlib import Path

from app.pipeline.engine import Engine
from app.pipeline.request import MAX_N
from app.pipeline.settings import EngineSettings
from index.catalogue import LiveCatalogue
from model.bundle import Bundle, open_bundle
from model.errors import BundleError


def open_engine(path: Path, most: int = MAX_N, people: bool = False) -> Engine:
    """The engine of a bundle, or of the `people` in it, for lists of at most `most`.

    Raises BundleError for one that does not verify, or that knows of no links between people.
    """
    bundle = open_bundle(path)
    bundle = linked_people(bundle) if people else bundle
    settings = EngineSettings.of_bundle(bundle)
    return Engine(bundle, LiveCatalogue(bundle), settings=replace(settings, max_n=max(MAX_N, most)))


def linked_people(bundle: Bundle) -> Bundle:
    """The bundle of the people in a bundle; raises BundleError where its recipe links nobody."""
    if (found := bundle.people) is None:
        move = "declare [links] in the recipe and train again, or recommend items"
        raise BundleError(str(bundle.path), "no links between users", move)
    return found
