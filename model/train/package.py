"""What is fitted, written as the files of a bundle (all but the graphs, which export writes)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from model.bundle import BundleWriter
from model.config import Recipe
from model.data.log import Dataset, Log
from model.data.scenes import scene_rules
from model.data.spec import context_table
from model.features.graph import FOLDER
from model.features.lexical import FOLDER as LEXICON
from model.features.lexical import Lexicon
from model.features.records import ItemRecord, UserRecord
from model.train.fit import Fitted
from model.train.shared import item_facts

POPULAR, BY_CONTEXT, CONTEXT_VALUES = 500, 100, 50  # longest fallback lists, and values a context column has lists for


def write_package(
    writer: BundleWriter, recipe: Recipe, dataset: Dataset, fitted: Fitted, lexicon: Lexicon | None = None
) -> None:
    """Write ids, the lexical half of texts, item and user features, channel tables, counters and fallbacks."""
    writer.ids(list(dataset.items.names), list(dataset.users.names))
    write_items(writer, dataset, fitted)
    write_users(writer, dataset, fitted)
    for name, neighbours in fitted.tables.items():
        writer.neighbours(name, neighbours)
    if lexicon is not None:
        lexicon.save(writer.path / LEXICON)
    writer.counters(fitted.counters)
    if dataset.graph is not None and dataset.graph.told:
        item_facts(dataset.graph).save(writer.path / FOLDER)
    writer.json("fallbacks.json", fallbacks(recipe, dataset, fitted.known))


def write_items(writer: BundleWriter, dataset: Dataset, fitted: Fitted) -> None:
    """Write what the item tower reads, and the records."""
    features = fitted.features
    graph = fitted.model.graph_encoder.entity_vectors(features.entity)
    writer.array("item_features/id_index.npy", features.id_index.astype(np.int64))
    writer.array("item_features/text.npy", features.text.astype(np.float16))
    writer.array("item_features/attributes.npy", features.attributes.astype(np.int32))
    writer.array("item_features/graph.npy", graph.astype(np.float16))
    told = dataset.item_records
    writer.records("item_features", (ItemRecord(told.texts(row), told.attributes(row)) for row in _rows(dataset.items)))


def write_users(writer: BundleWriter, dataset: Dataset, fitted: Fitted) -> None:
    """Write every user's known history, oldest first, and the profiles."""
    grouped = fitted.known.by_user(len(dataset.users))
    log = fitted.known.take(grouped.places)
    writer.array("user_features/indptr.npy", grouped.indptr.astype(np.int64))
    writer.array("user_features/rows.npy", log.item.astype(np.int32))
    writer.array("user_features/types.npy", log.type.astype(np.int8))
    writer.array("user_features/values.npy", log.value.astype(np.float32))
    writer.array("user_features/times.npy", log.time.astype(np.float64))
    if fitted.spec.own_contexts:
        contexts = context_table(fitted.spec, dataset, log)
        writer.array("user_features/contexts.npy", contexts.astype(np.int32))
    writer.array("user_features/profile.npy", fitted.features.profile.astype(np.int32))
    told = dataset.user_records
    writer.records("user_features", (UserRecord(told.attributes(row)) for row in _rows(dataset.users)))


def _rows(ids: object) -> Iterator[int]:
    return iter(range(len(ids)))  # type: ignore[arg-type]  # an id map has a length


def fallbacks(recipe: Recipe, dataset: Dataset, log: Log) -> dict[str, object]:
    """Popular items overall, by context value, and those of each scene, best first."""
    return {
        "popular": _popular(dataset, log)[:POPULAR],
        "by_context": by_context(dataset, log),
        "scenes": {name: ids[:POPULAR] for name, ids in scenes(recipe, dataset, log).items()},
    }


def _popular(dataset: Dataset, log: Log) -> list[str]:
    """Ids of all items with events in `log`, most first, then by row."""
    counts = np.bincount(log.item, minlength=len(dataset.items))
    order = np.lexsort((np.arange(len(counts)), -counts))
    return [dataset.items.id(int(row)) for row in order[counts[order] > 0]]


def by_context(dataset: Dataset, log: Log) -> dict[str, dict[str, list[str]]]:
    """Column → value → popular ids, for the most frequent values."""
    found: dict[str, dict[str, list[str]]] = {}
    for place, name in enumerate(dataset.context_names):
        codes: NDArray[np.int64] = log.context[:, place]
        counts = np.bincount(codes[codes >= 0], minlength=len(dataset.context_values[place]))
        frequent = np.argsort(-counts, kind="stable")[:CONTEXT_VALUES]
        found[name] = {
            dataset.context_values[place][code]: _popular(dataset, log.take(codes == code))[:BY_CONTEXT]
            for code in frequent[counts[frequent] > 0].tolist()
        }
    return found


def scenes(recipe: Recipe, dataset: Dataset, log: Log) -> dict[str, list[str]]:
    """Scene → ids of the items its rule holds for, most popular first."""
    popular = dict.fromkeys([*_popular(dataset, log), *dataset.items.names])
    told, found = dataset.item_records, {}
    for name, (rule, _) in scene_rules(recipe).items():
        held = []
        for item_id in popular:
            row = dataset.items.row(item_id)
            record = {**told.texts(row), **told.attributes(row), "item_id": item_id}
            if rule.holds(record):
                held.append(item_id)
        found[name] = held
    return found
