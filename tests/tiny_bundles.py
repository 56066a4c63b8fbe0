"""A tiny real bundle whose answers can be worked out by hand, for tests of the bundle and of the index.

Its graphs are linear: item_vector = id table[item_id] + text @ P + graph (graph_dim is D), where P keeps the first D
columns; user_vector = mean of the vectors in the history; the text encoder averages rows of a word table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from model.bundle import BundleWriter, DatasetInfo, Manifest, TextEncoder
from model.features.calibration import Platt
from model.features.counters import ItemCounters
from model.features.neighbours import Neighbours
from model.features.records import ItemRecord, UserRecord
from model.features.spec import AttributeSpec, ChannelSpec, FeatureSpec, TaskSpec

DIM, TEXT_DIM = 8, 12
WORDS = ("[UNK]", "red", "green", "blue", "car", "boat", "plane", "story", "two")
F, I = TensorProto.FLOAT, TensorProto.INT64  # noqa: E741
SPEC = FeatureSpec(
    event_types=("view", "like"),
    tasks=(TaskSpec(name="like", kind="binary", blend=1.0),),
    text_fields=("title", "description"),
    attributes=(
        AttributeSpec(name="colour", kind="multi", values=("red", "green", "blue"), offset=1),
        AttributeSpec(name="kind", kind="categorical", values=("car", "boat"), offset=4),
        AttributeSpec(name="year", kind="numeric", edges=(1990.0, 2000.0), offset=6),
    ),
    profile=(AttributeSpec(name="age", kind="numeric", edges=(18.0, 40.0), offset=1),),
    dim=DIM,
    text_dim=TEXT_DIM,
    graph_dim=DIM,
    max_attributes=4,
    max_profile=1,
    history_length=5,
    rank_history=3,
    half_lives=(86400.0,),
    channels=(ChannelSpec(name="tower", kind="tower"), ChannelSpec(name="cooccurrence", kind="neighbours")),
)


def write_tiny(
    parent: Path,
    version: str = "v1",
    items: int = 30,
    users: int = 6,
    vectors: NDArray[np.float32] | None = None,
    records: Sequence[ItemRecord] | None = None,
    spec: FeatureSpec = SPEC,
    user_items: Sequence[Sequence[int]] | None = None,
) -> Path:
    """Write an unsealed bundle; its item vectors are `vectors` [items, D] (random ones by default)."""
    rng = np.random.default_rng(7)
    given = rng.standard_normal((items, DIM)).astype(np.float32) if vectors is None else vectors
    items = len(given)
    told = [ItemRecord(*_record(row)) for row in range(items)] if records is None else list(records)
    histories = [list(rng.integers(0, items, 1 + user)) for user in range(users)] if user_items is None else user_items
    with BundleWriter(parent, version) as writer:
        writer.ids([f"i{row}" for row in range(items)], [f"u{row}" for row in range(len(histories))])
        _write_graphs(writer)
        _write_items(writer, given, told, spec)
        _write_users(writer, histories, spec)
        writer.json("fallbacks.json", {"popular": ["i1", "i0"], "by_context": {}, "scenes": {}})
        writer.manifest(tiny_manifest(version, items, len(histories), spec))
    return parent / version


def tiny_manifest(version: str = "v1", items: int = 0, users: int = 0, spec: FeatureSpec = SPEC) -> Manifest:
    """Manifest of a tiny bundle."""
    return Manifest(
        version=version,
        created="2026-11-24T00:00:00Z",
        recipe={"name": "tiny"},
        spec=spec,
        schema_digest=spec.digest(),
        dataset=DatasetInfo(rows=0, users=users, items=items, fingerprint="0123"),
        calibration={"like": Platt(a=1.0, b=0.0)},
        text_encoder=TextEncoder(name="words", digest="none", max_tokens=6),
    )


def _record(row: int) -> tuple[Mapping[str, str], Mapping[str, str | float | list[str]]]:
    colours = [("red", "green", "blue")[row % 3], *(["violet"] if row % 5 == 0 else [])]
    kind = "car" if row % 2 else "boat"
    return {"title": f"{colours[0]} {kind}"}, {"colour": colours, "kind": kind, "year": 1980.0 + row}


def _write_items(
    writer: BundleWriter, vectors: NDArray[np.float32], records: Sequence[ItemRecord], spec: FeatureSpec
) -> None:
    size = len(vectors)
    writer.array("item_features/id_index.npy", np.zeros(size, np.int64))
    writer.array("item_features/text.npy", np.zeros((size, TEXT_DIM), np.float16))
    attributes = [spec.attribute_ids(one.attributes) for one in records]
    writer.array("item_features/attributes.npy", np.asarray(attributes, np.int32).reshape(size, spec.max_attributes))
    writer.array("item_features/graph.npy", vectors)
    writer.records("item_features", records)
    nearby = np.arange(size - 1)
    writer.neighbours("cooccurrence", Neighbours.build(nearby, nearby + 1, np.ones(len(nearby)), size))
    writer.counters(ItemCounters.empty(size, len(spec.event_types), spec.half_lives))


def _write_users(writer: BundleWriter, histories: Sequence[Sequence[int]], spec: FeatureSpec) -> None:
    sizes = [len(one) for one in histories]
    events = np.asarray([row for one in histories for row in one], np.int32)
    writer.array("user_features/indptr.npy", np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
    writer.array("user_features/rows.npy", events)
    writer.array("user_features/types.npy", np.ones(len(events), np.int8))
    writer.array("user_features/values.npy", np.full(len(events), np.nan, np.float32))
    writer.array("user_features/times.npy", np.arange(len(events), dtype=np.float64))
    writer.array("user_features/profile.npy", np.zeros((len(histories), spec.max_profile), np.int32))
    writer.records("user_features", [UserRecord({"age": 20.0 + row}) for row in range(len(histories))])


def _write_graphs(writer: BundleWriter) -> None:
    keep = np.eye(TEXT_DIM, DIM, dtype=np.float32)
    ids = np.zeros((1, DIM), np.float32)
    item = [
        helper.make_node("Gather", ["ids", "item_id"], ["by_id"]),
        helper.make_node("MatMul", ["text", "keep"], ["by_text"]),
        helper.make_node("Sum", ["by_id", "by_text", "graph"], ["item_vector"]),
    ]
    signature = {"item_id": (I, "B"), "text": (F, "B", TEXT_DIM), "attributes": (I, "B", 4), "graph": (F, "B", DIM)}
    _save(writer, "item_tower", item, signature, ("item_vector", DIM), {"ids": ids, "keep": keep})
    history = {"history_vectors": (F, "B", "L", DIM), "history_types": (I, "B", "L"), "history_values": (F, "B", "L")}
    moment = {**history, "history_gaps": (I, "B", "L"), "profile": (I, "B", 1), "context": (I, "B", 1)}
    mean = [helper.make_node("ReduceMean", ["history_vectors", "axis"], ["user_vector"], keepdims=0)]
    _save(writer, "user_tower", mean, moment, ("user_vector", DIM), {"axis": np.asarray([1])})
    ranker = [helper.make_node("ReduceMean", ["candidate_vectors", "axis"], ["logits"], keepdims=1)]
    _save(writer, "ranker", ranker, {"candidate_vectors": (F, "B", "C", DIM)}, ("logits", 1), {"axis": np.asarray([2])})
    _write_text_encoder(writer)


def _write_text_encoder(writer: BundleWriter) -> None:
    table = np.eye(len(WORDS), TEXT_DIM, dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("ReduceMean", ["words", "axis"], ["mean"], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["text"], axis=-1, p=2),
    ]
    signature = {"input_ids": (I, "B", "S"), "attention_mask": (I, "B", "S")}
    _save(writer, "text_encoder", nodes, signature, ("text", TEXT_DIM), {"table": table, "axis": np.asarray([1])})
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(writer.file("tokenizer.json")))


def _save(
    writer: BundleWriter,
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, tuple[int | str, ...]],
    output: tuple[str, int],
    constants: Mapping[str, NDArray[np.float32] | NDArray[np.int64]],
) -> None:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(key, kind, list(axes)) for key, (kind, *axes) in inputs.items()],
        [helper.make_tensor_value_info(output[0], F, None)],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(writer.file(f"{name}.onnx")))
