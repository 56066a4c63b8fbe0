"""An item as told, through the text encoder and the item tower: what a catalogue holds of it."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model.bundle import Bundle
from model.features.ranking import Inputs
from model.features.records import ItemRecord
from model.features.spec import UNKNOWN
from model.features.text import item_text, open_tokenizer, text_vectors
from model.ids import NO_ROW

Encoded = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]


class ItemEncoder:
    """Encodes items put at run time with a bundle's own graphs; the text encoder is opened when first needed."""

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 1) -> None:
        self._bundle, self._device, self._threads = bundle, device, threads

    def encode(
        self,
        records: Sequence[ItemRecord],
        rows: Sequence[int] | None = None,
        text: NDArray[np.float32] | None = None,
    ) -> Encoded:
        """(text_vectors f32 [n, text_dim], attribute_ids i32 [n, A], vectors f32 [n, D]) of n records.

        `rows` are catalogue rows: an item of the bundle keeps its learned id and its place in the graph; a new one (the
        default) lives by text and attributes. `text` are text vectors made before by the same encoder.
        """
        text = self.texts(records) if text is None else text
        spec = self._bundle.spec
        attributes = [spec.attribute_ids(record.attributes) for record in records]
        ids = np.stack(attributes) if attributes else np.zeros((0, spec.max_attributes), np.int32)
        known = np.asarray([NO_ROW] * len(records) if rows is None else rows, np.int64)
        return text, ids, self._vectors(text, ids, known)

    def texts(self, records: Sequence[ItemRecord]) -> NDArray[np.float32]:
        """Text vectors of records, float32 [n, text_dim]; zeros where there is no text."""
        fields = self._bundle.spec.text_fields
        return self.strings([item_text(fields, record.text) for record in records])

    def strings(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Text vectors of any strings (a query, say), float32 [n, text_dim]; zeros for "" or without an encoder."""
        width = self._bundle.spec.text_dim
        if not any(texts) or not self._bundle.has("text_encoder.onnx"):
            return np.zeros((len(texts), width), np.float32)
        session, lexicon = self._bundle.session("text_encoder", self._threads, self._device), self._bundle.lexicon
        if lexicon is None:
            return text_vectors(session, self._tokenizer, texts, width)
        return lexicon.beside(text_vectors(session, self._tokenizer, texts, width - lexicon.width), texts)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return open_tokenizer(self._bundle.path / "tokenizer.json", self._bundle.manifest.text_encoder.max_tokens)

    def _vectors(
        self, text: NDArray[np.float32], ids: NDArray[np.int32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        in_bundle = (rows >= 0) & (rows < len(self._bundle.items))
        item_id = np.full(len(rows), UNKNOWN, np.int64)
        graph = np.zeros((len(rows), self._bundle.spec.graph_dim), np.float32)
        item_id[in_bundle] = self._bundle.array("item_features/id_index.npy")[rows[in_bundle]]
        graph[in_bundle] = self._bundle.array("item_features/graph.npy")[rows[in_bundle]]
        inputs: Inputs = {"item_id": item_id, "text": text, "attributes": ids.astype(np.int64), "graph": graph}
        (vectors,) = self._bundle.session("item_tower", self._threads, self._device).run(["item_vector"], inputs)
        return np.asarray(vectors, np.float32)
