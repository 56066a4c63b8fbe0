"""The one place that picks concrete things: which store, which index, which pipeline."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from app.bundles import same_name
from app.live_bundle import LiveBundle
from app.metrics import Metrics
from app.pipeline.engine import Engine
from app.pipeline.recommend import Recommender
from app.pipeline.request import RecommendRequest
from app.pipeline.settings import EngineSettings
from app.pipeline.user import UserInput
from app.service import Service, Store
from app.settings import Settings
from index.catalogue import LiveCatalogue
from index.encode import ItemEncoder
from index.users import UserIndex
from model.bundle import Bundle, open_bundle
from model.config import Links
from model.features.sessions import chosen_device


def build_service(settings: Settings, store: Store) -> Service:
    """A service over a store; it opens its bundle when it starts."""
    metrics = Metrics()
    return Service(settings, store, partial(open_live, settings=settings, store=store, metrics=metrics), metrics)


def open_live(path: Path, settings: Settings, store: Store, metrics: Metrics) -> LiveBundle:
    """Verify and open a bundle and everything that serves it; raises BundleError by the name of the file at fault."""
    bundle, device = open_bundle(path), chosen_device(settings.device)
    same_name(path, bundle.version)
    catalogue = LiveCatalogue(bundle, device)
    told = EngineSettings.of_bundle(bundle, device)
    wait_ms = settings.together_wait_ms if device == "cuda" else 0.0  # a processor gains little from a fuller batch
    told = replace(told, timeout_ms=told.timeout_ms or settings.timeout_ms, together=settings.together, wait_ms=wait_ms)
    engine = Engine(bundle, catalogue, settings=told, observe=metrics.stage)
    warm_up(engine)
    people, targets = bundle.people, dict.fromkeys(bundle.spec.event_types, "item")
    return LiveBundle(
        bundle,
        catalogue,
        ItemEncoder(bundle, device),
        UserIndex(bundle, device),
        Recommender(engine, store, metrics.stage),
        None if people is None else people_recommender(people, told, store, metrics),
        targets if people is None else {link_event(bundle): "user"} | targets,
    )


def people_recommender(bundle: Bundle, told: EngineSettings, store: Store, metrics: Metrics) -> Recommender:
    """What recommends users to users, from the bundle of people, under the settings of the domain's own path."""
    own, device = EngineSettings.of_bundle(bundle, told.device), told.device
    settings = replace(own, timeout_ms=told.timeout_ms, together=told.together, wait_ms=told.wait_ms)
    engine = Engine(bundle, LiveCatalogue(bundle, device), settings=settings, observe=metrics.stage)
    warm_up(engine)
    return Recommender(engine, store, metrics.stage, target="user")


def link_event(bundle: Bundle) -> str:
    """The event type by which a recipe's users link one another."""
    return Links.model_validate(bundle.manifest.recipe["links"]).event


def warm_up(engine: Engine) -> None:
    """One list for a user of the bundle, so that the first request finds all open; what cannot answer is refused."""
    users = engine.bundle.users.names
    engine.recommend(UserInput(users[0] if users else None), RecommendRequest())
