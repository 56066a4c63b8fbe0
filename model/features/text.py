"""From an item's text fields to token ids and to one text vector: the same steps for training and for serving."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model.features.sessions import Session

JOIN = ". "


def item_text(fields: Sequence[str], text: Mapping[str, str]) -> str:
    """The one string an encoder reads of an item: its non-empty fields in the spec's order; "" when it has none."""
    return JOIN.join(part for name in fields if (part := text.get(name, "").strip()))


def open_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    """The tokenizer of a tokenizer.json, truncating at `max_tokens`, without padding."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return tokenizer


def text_vectors(session: Session, tokenizer: Tokenizer, texts: Iterable[str], width: int) -> NDArray[np.float32]:
    """L2-normalised text vectors, float32 [n, width]; zeros for an empty text.

    One text a run, without padding: a text's vector is the same to the last bit whatever else is encoded.
    """
    rows = [_one(session, tokenizer, text) if text else np.zeros(width, np.float32) for text in texts]
    return np.stack(rows) if rows else np.zeros((0, width), np.float32)


def _one(session: Session, tokenizer: Tokenizer, text: str) -> NDArray[np.float32]:
    ids = np.asarray([tokenizer.encode(text).ids], np.int64)
    (vector,) = session.run(["text"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    return np.asarray(vector[0], np.float32)
