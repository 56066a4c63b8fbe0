"""Whole bundles with random weights but real graphs, for everything that must run without training anything."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.build import seal
from model.bundle import (
    PEOPLE,
    BundleWriter,
    DatasetInfo,
    Manifest,
    Parity,
    TextEncoder,
    open_bundle,
    write_manifest,
)
from model.events import History
from model.features.calibration import Identity, Platt
from model.features.contexts import Contexts
from model.features.counters import ItemCounters
from model.features.fused import LOOP
from model.features.neighbours import Neighbours
from model.features.records import ItemRecord, UserRecord
from model.features.sessions import open_session
from model.features.spec import FeatureSpec
from model.features.text import item_text, open_tokenizer, text_vectors
from tests.graphs import ADJECTIVES, GENRES, NOUNS, graphs, made, small_spec

SHARED = 512  # id embeddings of the graphs that all smaller bundles share
FOLLOW = "follow"  # the event that links people
START = 1_700_000_000.0  # epoch seconds of the first event
RECIPE = """
name = "random"
[interactions]
path = "events.tsv"
user = "user"
item = "item"
event = { column = "type" }
value = "value"
timestamp = "time"
context = ["device", "hour"]
[items]
path = "items.tsv"
id = "item"
text = ["title"]
multi = { genres = "|" }
numeric = ["release_year"]
[users]
path = "users.tsv"
id = "user"
categorical = ["gender"]
numeric = ["age"]
[scenes.comedies]
items = "'comedy' in genres"
when = "hour >= 18"
[[tasks]]
name = "interest"
kind = "binary"
label = "event == 'view' or event == 'like'"
blend = 1.0
[[tasks]]
name = "like"
kind = "binary"
label = "event == 'like'"
[[tasks]]
name = "rating"
kind = "regression"
label = "value"
given = "event == 'rating'"
low = 1
high = 5
"""


@dataclass(frozen=True, slots=True)
class Log:
    """A random log, oldest first: arrays of one length."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    types: NDArray[np.int64]
    values: NDArray[np.float32]
    times: NDArray[np.float64]
    contexts: NDArray[np.int64]

    def of(self, user: int) -> History:
        """One user's events, oldest first."""
        mine = self.users == user
        told = self.items[mine], self.types[mine], self.values[mine], self.times[mine]
        return History.of(*told, self.contexts[mine])


def make_bundle(
    folder: Path,
    items: int = 60,
    users: int = 20,
    seed: int = 0,
    text_encoder: str = "tiny",
    version: str = "20261124-0000-test",
    events: int = 400,
    cold: int = 5,
    dim: int = 16,
    people: bool = False,
) -> Path:
    """Write an unsealed bundle into `folder`/`version` and return its path; seal it with `index.build.seal`.

    Items are i0, i1, …, users u0, u1, …; the last `cold` items and the last user have no event. Each item's title names
    its genre. Event types view, like, rating (1–5); tasks interest, like, rating; channels tower, cooccurrence, graph.
    `seed` varies the data; the nets' weights are always the same, since every export takes half a minute (so does the
    first use of another `dim`, of the "minilm" text encoder, or of more than SHARED items). With `people` the users are
    linked by event type follow, and the bundle holds the sealed one of the people.
    """
    linked: dict[str, object] = {"links": {"path": "links.tsv", "event": FOLLOW}} if people else {}
    own = _Made(small_spec(text_encoder, dim), version, linked)
    path = _write(folder, own, items, users, seed, text_encoder, events, cold, ("i", "u"))
    if people:
        types = {"event_types": (FOLLOW, "self", "linked_by")}
        theirs = _Made(own.spec.model_copy(update=types), version, {"serving": {"seen": [FOLLOW, "self"]}})
        with tempfile.TemporaryDirectory(dir=folder, prefix=".people-") as beside:
            inner = _write(Path(beside), theirs, users, users, seed, text_encoder, events, 1, ("u", "u"))
            seal(inner)
            manifest = open_bundle(path, sealed=False).manifest
            shutil.move(inner, path / PEOPLE)
        write_manifest(path, manifest)
    return path


@dataclass(frozen=True, slots=True)
class _Made:
    """What a bundle is made as: its spec and version, and what its recipe says beside RECIPE."""

    spec: FeatureSpec
    version: str
    recipe: Mapping[str, object]


def _write(
    folder: Path,
    told: _Made,
    items: int,
    users: int,
    seed: int,
    text_encoder: str,
    events: int,
    cold: int,
    names: tuple[str, str],
) -> Path:
    """A bundle with items and users of such names."""
    spec, version, dim = told.spec, told.version, told.spec.dim
    source = graphs(text_encoder, max(SHARED, items), dim)
    generator = np.random.default_rng(seed)
    records = [item_record(row) for row in range(items)]
    log = random_log(items - cold, users - 1, events, generator)
    with BundleWriter(folder, version) as writer:
        for path in (*source.glob("*.onnx"), source / LOOP):
            shutil.copy(path, writer.file(path.name))
        shutil.copy(source / "tokenizer.json", writer.file("tokenizer.json"))
        writer.ids(*([f"{name}{row}" for row in range(size)] for name, size in zip(names, (items, users), strict=True)))
        _write_items(writer, spec, records, log, source, generator)
        _write_users(writer, spec, log, users)
        _write_channels(writer, spec, records, log)
        writer.json("fallbacks.json", _fallbacks(log, items, names[0]))
        writer.file("report.html").write_text("<!doctype html><title>random bundle</title>")
        writer.manifest(_manifest(told, source, log, items, users))
    return folder / version


def item_record(row: int) -> ItemRecord:
    """The item at a row: its title names its genre."""
    genre = GENRES[row % len(GENRES)]
    title = f"{ADJECTIVES[row % 10]} {NOUNS[row // 10 % 10]} {genre}"
    return ItemRecord({"title": title}, {"genres": [genre], "release_year": 1975 + row % 40})


def user_record(row: int) -> UserRecord:
    """The user at a row."""
    return UserRecord({"gender": "FM"[row % 2], "age": 18 + row % 50})


def random_log(items: int, users: int, events: int, generator: np.random.Generator) -> Log:
    """Random events of `users` on `items`, every user and every item at least once; only ratings have values."""
    size = max(events, items, users)
    types = generator.integers(1, 4, size)
    values = np.where(types == 3, generator.integers(1, 6, size), np.nan).astype(np.float32)
    everyone = np.concatenate([np.arange(users), generator.integers(0, users, size - users)])
    everything = np.concatenate([np.arange(items), generator.integers(0, items, size - items)])
    times = START + np.sort(generator.uniform(0, 30 * 86400, size))
    who, what = generator.permutation(everyone), generator.permutation(everything)
    contexts = np.stack([generator.integers(0, 3, size), generator.integers(0, 25, size)], axis=1)  # 0: unknown
    return Log(who, what, types, values, times, contexts)


def _write_items(
    writer: BundleWriter,
    spec: FeatureSpec,
    records: list[ItemRecord],
    log: Log,
    source: Path,
    generator: np.random.Generator,
) -> None:
    known = np.isin(np.arange(len(records)), log.items)
    tokenizer = open_tokenizer(source / "tokenizer.json", made(source)["text_encoder"]["max_tokens"])
    texts = [item_text(spec.text_fields, record.text) for record in records]
    vectors = text_vectors(open_session(source / "text_encoder.onnx"), tokenizer, texts, spec.text_dim)
    attributes = np.stack([spec.attribute_ids(record.attributes) for record in records])
    graph = generator.standard_normal((len(records), spec.graph_dim)) * known[:, None]
    writer.array("item_features/id_index.npy", np.where(known, np.arange(len(records)) + 1, 0).astype(np.int64))
    writer.array("item_features/text.npy", vectors.astype(np.float16))
    writer.array("item_features/attributes.npy", attributes)
    writer.array("item_features/graph.npy", graph.astype(np.float16))
    writer.records("item_features", records)


def _write_users(writer: BundleWriter, spec: FeatureSpec, log: Log, users: int) -> None:
    histories = [log.of(user) for user in range(users)]
    indptr = np.concatenate([[0], np.cumsum([len(history) for history in histories])])
    records = [user_record(user) for user in range(users)]
    writer.array("user_features/indptr.npy", indptr.astype(np.int64))
    writer.array("user_features/rows.npy", np.concatenate([one.rows for one in histories]).astype(np.int32))
    writer.array("user_features/types.npy", np.concatenate([one.types for one in histories]).astype(np.int8))
    writer.array("user_features/values.npy", np.concatenate([one.values for one in histories]))
    writer.array("user_features/times.npy", np.concatenate([one.times for one in histories]))
    writer.array("user_features/contexts.npy", np.concatenate([one.contexts for one in histories]).astype(np.int32))
    writer.array("user_features/profile.npy", np.stack([spec.profile_ids(one.profile) for one in records]))
    writer.records("user_features", records)


def _write_channels(writer: BundleWriter, spec: FeatureSpec, records: list[ItemRecord], log: Log) -> None:
    counters = ItemCounters.empty(len(records), len(spec.event_types), spec.half_lives)
    for item, kind, time, value in zip(log.items, log.types, log.times, log.values, strict=True):
        counters.add(int(item), int(kind), float(time), float(value))
    attributes = np.stack([spec.attribute_ids(record.attributes) for record in records])
    counters.contexts = Contexts.of(spec, attributes, log.items, log.contexts)
    writer.counters(counters)
    writer.neighbours("cooccurrence", _followers(log, len(records)))
    writer.neighbours("graph", _same_genre(records))


def _followers(log: Log, items: int) -> Neighbours:
    """Each item's successors in the users' histories."""
    pairs = [(log.of(user).rows[:-1], log.of(user).rows[1:]) for user in np.unique(log.users)]
    sources, targets = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return Neighbours.build(sources, targets, np.ones(len(sources)), items)


def _same_genre(records: list[ItemRecord]) -> Neighbours:
    """Each item's neighbours are those of its genre."""
    genre = np.arange(len(records)) % len(GENRES)
    sources, targets = np.nonzero(genre[:, None] == genre)
    return Neighbours.build(sources, targets, np.ones(len(sources)), len(records), keep=20)


def _fallbacks(log: Log, items: int, name: str) -> dict[str, object]:
    counts = np.bincount(log.items, minlength=items)
    popular = [f"{name}{row}" for row in np.lexsort((np.arange(items), -counts)) if counts[row]]
    comedies = [one for one in popular if int(one[1:]) % len(GENRES) == GENRES.index("comedy")]
    return {
        "popular": popular,
        "by_context": {"device": {"mobile": popular[::-1], "desktop": popular}},
        "scenes": {"comedies": comedies},
    }


def _manifest(told: _Made, source: Path, log: Log, items: int, users: int) -> Manifest:
    import tomllib

    said, spec = made(source), told.spec
    return Manifest(
        version=told.version,
        created="2026-11-24T00:00:00+00:00",
        recipe=tomllib.loads(RECIPE) | dict(told.recipe),
        spec=spec,
        schema_digest=spec.digest(),
        dataset=DatasetInfo(rows=len(log.items), users=users, items=items, fingerprint="0" * 64),
        calibration={"interest": Platt(a=1.0, b=0.0), "like": Platt(a=1.2, b=-0.5), "rating": Identity()},
        metrics={"interest": {"auc": 0.5}},
        parity={name: Parity(**one) for name, one in said["parity"].items()},
        text_encoder=TextEncoder(**said["text_encoder"]),
    )
