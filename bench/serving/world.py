"""The world that is served: a bundle of N clustered items with real graphs and random weights, and what its users did.

Sizes follow the defaults of `model/config/training.py`: four recall channels, lists of 200, 50 events of history. A
cluster is what a taste is: items of one cluster have close vectors and are each other's neighbours, users keep to two.
"""

import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.serving.nets import made_text_encoder, write_graphs
from index.build import seal
from model.bundle import BundleWriter, DatasetInfo, Manifest, TextEncoder
from model.features.calibration import Identity, Platt
from model.features.contexts import Contexts
from model.features.counters import ItemCounters
from model.features.neighbours import Neighbours
from model.features.records import ItemRecord, UserRecord
from model.features.spec import AttributeSpec, ChannelSpec, ContextSpec, FeatureSpec, TaskSpec

CLUSTER = 250  # items of one cluster
EVENTS = 20  # training events of a user
GENRES = tuple(f"genre-{number}" for number in range(20))
DAY = 86_400.0
POPULAR = 500  # items listed as popular
RECIPE = """
name = "serving"
[interactions]
path = "events.tsv"
user = "user"
item = "item"
event = { column = "type" }
timestamp = "time"
context = ["device"]
[items]
path = "items.tsv"
id = "item"
text = ["title"]
multi = { genres = "|" }
numeric = ["year"]
[users]
path = "users.tsv"
id = "user"
categorical = ["country"]
[[tasks]]
name = "interest"
kind = "binary"
label = "event == 'view' or event == 'like'"
blend = 1.0
[[tasks]]
name = "like"
kind = "binary"
label = "event == 'like'"
blend = 1.0
[[tasks]]
name = "rating"
kind = "regression"
label = "value"
given = "event == 'rating'"
low = 1
high = 5
"""


@dataclass(frozen=True)
class World:
    """How large: items and users of the bundle, whether it carries the default text encoder, and as of when."""

    items: int
    users: int
    text: bool
    now: float

    @property
    def version(self) -> str:
        """The bundle's version."""
        return f"serving-{self.items}"

    @property
    def clusters(self) -> int:
        """How many clusters the items are in."""
        return max(self.items // CLUSTER, 1)


def spec(text: bool) -> FeatureSpec:
    """Three tasks, four channels, and the sizes a recipe has when it says nothing."""
    return FeatureSpec(
        event_types=("view", "like", "rating"),
        tasks=(
            TaskSpec(name="interest", kind="binary", blend=1.0),
            TaskSpec(name="like", kind="binary", blend=1.0),
            TaskSpec(name="rating", kind="regression", low=1, high=5),
        ),
        text_fields=("title",) if text else (),
        attributes=(
            AttributeSpec(name="genres", kind="multi", values=GENRES, offset=1),
            AttributeSpec(name="year", kind="numeric", edges=(1980.0, 1990.0, 2000.0, 2010.0), offset=1 + len(GENRES)),
        ),
        profile=(AttributeSpec(name="country", kind="categorical", values=("AT", "BR", "JP"), offset=1),),
        context=(ContextSpec(name="device", values=("mobile", "desktop")),),
        own_contexts=True,
        dim=64,
        text_dim=384 if text else 32,
        graph_dim=32,
        max_attributes=8,
        max_profile=1,
        value_low=1.0,
        value_high=5.0,
        valued=True,
        channels=(
            ChannelSpec(name="tower", kind="tower", size=200),
            ChannelSpec(name="cooccurrence", kind="neighbours", decay=0.8, depth=50, size=200),
            ChannelSpec(name="ease", kind="neighbours", decay=0.9, depth=50, size=200),
            ChannelSpec(name="graph", kind="neighbours", decay=0.9, depth=20, size=100),
        ),
    )


def write_bundle(world: World, folder: Path) -> Path:
    """The sealed bundle of a world in `folder`, made when it is not there yet."""
    path = folder / world.version
    if (path / "SEAL").exists():
        return path
    shutil.rmtree(path, ignore_errors=True)
    generator = np.random.default_rng(0)
    clusters = generator.permutation(world.items) % world.clusters
    with BundleWriter(folder, world.version) as writer:
        write_graphs(spec(world.text), _vectors(clusters, generator), writer.path, folder / "graphs")
        writer.ids([f"i{row}" for row in range(world.items)], [f"u{row}" for row in range(world.users)])
        _write_items(writer, world, clusters, generator)
        _write_users(writer, world, clusters, generator)
        _write_channels(writer, clusters)
        writer.counters(_counters(world, generator))
        popular = [f"i{row}" for row in generator.permutation(world.items)[:POPULAR].tolist()]
        writer.json("fallbacks.json", {"popular": popular, "by_context": {"device": {"mobile": popular[::-1]}}})
        writer.file("report.html").write_text("<!doctype html><title>serving benchmark</title>")
        writer.manifest(_manifest(world, folder / "graphs"))
    seal(path)
    return path


def _vectors(clusters: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float32]:
    """Clustered vectors of norm about 1, float32 [N, D]: as much of the cluster as of the item itself."""
    centres = generator.standard_normal((int(clusters.max()) + 1, 64), dtype=np.float32)
    vectors = centres[clusters] + generator.standard_normal((len(clusters), 64), dtype=np.float32)
    made: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return made


def _write_items(
    writer: BundleWriter, world: World, clusters: NDArray[np.int64], generator: np.random.Generator
) -> None:
    features = spec(world.text)
    text = generator.standard_normal((world.items, features.text_dim), dtype=np.float32).astype(np.float16)
    norm = np.float16(features.text_dim**0.5)
    genre, year = clusters % len(GENRES), generator.integers(0, 5, world.items)
    attributes = np.zeros((world.items, features.max_attributes), np.int32)
    attributes[:, 0], attributes[:, 1] = genre + 1, year + 1 + len(GENRES)
    writer.array("item_features/id_index.npy", np.arange(1, world.items + 1))
    writer.array("item_features/text.npy", text / norm)
    writer.array("item_features/attributes.npy", attributes)
    writer.array("item_features/graph.npy", np.zeros((world.items, features.graph_dim), np.float16))
    writer.records("item_features", _records(genre.tolist(), year.tolist()))


def _records(genres: list[int], years: list[int]) -> Iterator[ItemRecord]:
    for row, (genre, year) in enumerate(zip(genres, years, strict=True)):
        yield ItemRecord({"title": f"item {row}"}, {"genres": [GENRES[genre]], "year": 1975 + 10 * year})


def tastes(world: World, clusters: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """What each user met, int64 [users, count]: items of the two clusters it keeps to."""
    order = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters[order], np.arange(world.clusters + 1))
    homes = generator.integers(0, world.clusters, (world.users, 2))
    chosen = np.take_along_axis(homes, generator.integers(0, 2, (world.users, count)), axis=1)
    sizes = starts[chosen + 1] - starts[chosen]
    found: NDArray[np.int64] = order[starts[chosen] + (generator.random((world.users, count)) * sizes).astype(np.int64)]
    return found


def _write_users(
    writer: BundleWriter, world: World, clusters: NDArray[np.int64], generator: np.random.Generator
) -> None:
    rows = tastes(world, clusters, EVENTS, generator)
    types = generator.integers(1, 4, rows.shape)
    values = np.where(types == 3, generator.integers(1, 6, rows.shape), np.nan)
    times = world.now - generator.uniform(10 * DAY, 60 * DAY, rows.shape)
    writer.array("user_features/indptr.npy", np.arange(world.users + 1, dtype=np.int64) * EVENTS)
    writer.array("user_features/rows.npy", rows.ravel().astype(np.int32))
    writer.array("user_features/types.npy", types.ravel().astype(np.int8))
    writer.array("user_features/contexts.npy", generator.integers(1, 3, (rows.size, 1)).astype(np.int32))
    writer.array("user_features/values.npy", values.ravel().astype(np.float32))
    writer.array("user_features/times.npy", np.sort(times, axis=1).ravel())
    profile = generator.integers(1, 4, (world.users, 1)).astype(np.int32)
    writer.array("user_features/profile.npy", profile)
    countries = spec(world.text).profile[0].values
    writer.records("user_features", (UserRecord({"country": countries[one - 1]}) for one in profile[:, 0].tolist()))


def _write_channels(writer: BundleWriter, clusters: NDArray[np.int64]) -> None:
    for name, keep in (("cooccurrence", 200), ("ease", 200), ("graph", 50)):
        writer.neighbours(name, neighbours(clusters, keep))


def neighbours(clusters: NDArray[np.int64], keep: int) -> Neighbours:
    """Each item's neighbours are the `keep` next ones of its cluster, as it were on a ring, ever less close."""
    order = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters[order], clusters)
    sizes = np.bincount(clusters)[clusters]
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    keep = min(keep, int(sizes.min()) - 1)
    steps = np.arange(1, keep + 1)
    indices = np.empty((len(clusters), keep), np.int32)
    for part in np.array_split(np.arange(len(clusters)), max(len(clusters) // 50_000, 1)):
        ring = (places[part, None] - starts[part, None] + steps) % sizes[part, None]
        indices[part] = order[starts[part, None] + ring]
    weights = np.tile((1.0 / steps).astype(np.float32), len(clusters))
    return Neighbours(np.arange(len(clusters) + 1, dtype=np.int64) * keep, indices.ravel(), weights)


def _counters(world: World, generator: np.random.Generator) -> ItemCounters:
    counters = ItemCounters.empty(world.items, 3, spec(world.text).half_lives)
    counters.counts[:] = generator.gamma(0.5, 20.0, counters.counts.shape)
    counters.newest[:] = world.now - generator.uniform(10 * DAY, 30 * DAY, world.items)
    counters.first[:] = counters.newest - generator.uniform(0, 300 * DAY, world.items)
    counters.value_count[:] = counters.counts[:, 2, -1]
    counters.value_sum[:] = counters.value_count * generator.uniform(1, 5, world.items)
    counters.total[:], counters.total_newest = counters.counts.sum(0), float(counters.newest.max())
    values = 1 + len(spec(world.text).context[0].values)
    lift = generator.normal(0, 0.3, (values, world.items)).astype(np.float16)
    usual = np.full(values, 1 / (values - 1), np.float32)
    counters.contexts = Contexts(lift, np.asarray([0, values]), usual)
    return counters


def _manifest(world: World, graphs: Path) -> Manifest:
    features = spec(world.text)
    return Manifest(
        version=world.version,
        created="2026-11-24T00:00:00+00:00",
        recipe=tomllib.loads(RECIPE),
        spec=features,
        schema_digest=features.digest(),
        dataset=DatasetInfo(rows=world.users * EVENTS, users=world.users, items=world.items, fingerprint="0" * 64),
        calibration={"interest": Platt(a=1.0, b=0.0), "like": Platt(a=1.2, b=-0.5), "rating": Identity()},
        text_encoder=TextEncoder(**made_text_encoder(graphs)),
    )
