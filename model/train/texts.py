"""Text vectors of the catalogue, made once by the very graph that serves, kept by the hash of what was read."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from model.data.log import Dataset
from model.features.sessions import open_session
from model.features.text import item_text, open_tokenizer, text_vectors

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
CHUNK = 256


def catalogue_texts(fields: Sequence[str], dataset: Dataset) -> list[str]:
    """What the encoder reads of every item, "" where nothing is told."""
    return [item_text(fields, dataset.item_records.texts(row)) for row in range(len(dataset.items))]


def graph_encoder(folder: Path, max_tokens: int, width: int, threads: int) -> Encode:
    """An encoder of texts over the exported text_encoder.onnx and tokenizer.json of `folder`."""
    session = open_session(folder / "text_encoder.onnx", threads)
    tokenizer = open_tokenizer(folder / "tokenizer.json", max_tokens)
    return lambda texts: text_vectors(session, tokenizer, texts, width)


def cached_vectors(texts: Sequence[str], encode: Encode, width: int, cache: Path) -> NDArray[np.float32]:
    """Vectors float32 [len(texts), width], zeros for ""; each different text is encoded once and kept in `cache`."""
    known = _read(cache, width)
    wanted = {key_of(text): text for text in texts if text}
    missing = [key for key in wanted if key not in known]
    for at in tqdm(range(0, len(missing), CHUNK), desc="texts", mininterval=2, disable=len(missing) < CHUNK):
        keys = missing[at : at + CHUNK]
        known |= dict(zip(keys, encode([wanted[key] for key in keys]), strict=True))
    if missing:
        _write(cache, known, width)
    nothing = np.zeros(width, np.float32)
    return np.stack([known[key_of(text)] if text else nothing for text in texts])


def key_of(text: str) -> str:
    """sha256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _read(cache: Path, width: int) -> dict[str, NDArray[np.float32]]:
    if not cache.is_file():
        return {}
    with np.load(cache, allow_pickle=False) as kept:
        if kept["vectors"].shape[1] != width:
            return {}
        return dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))


def _write(cache: Path, known: dict[str, NDArray[np.float32]], width: int) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    scratch = cache.with_name(f".{os.getpid()}-{cache.name}")
    vectors = np.stack(list(known.values())) if known else np.zeros((0, width), np.float32)
    np.savez(scratch, keys=np.asarray(list(known)), vectors=vectors)
    scratch.replace(cache)
