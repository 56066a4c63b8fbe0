"""The text encoder as a graph with int8 weights, and its tokenizer as one file."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from model.export.onnx import export_graph
from model.export.quantise import quantise_weights
from model.export.signatures import OUTPUTS, Axis
from model.nn.encoder import TextEncoder


def export_text_encoder(encoder: TextEncoder, folder: Path, quantise: bool = True) -> dict[str, Any]:
    """Write text_encoder.onnx and tokenizer.json; returns the manifest's `text_encoder` (name, digest, max_tokens).

    Low-rank updates are folded in first. The tokenizer file cuts at max_tokens and pads a batch to its longest text.
    """
    encoder.merge()
    inputs = {"input_ids": Axis(("B", "S"), int(encoder.tokenizer.vocab_size)), "attention_mask": Axis(("B", "S"), 2)}
    target = folder / "text_encoder.onnx"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        plain = Path(scratch) / "plain.onnx" if quantise else target
        export_graph(encoder, inputs, OUTPUTS["text_encoder"], plain)
        if quantise:
            quantise_weights(plain, target)
    save_tokenizer(encoder, folder / "tokenizer.json")
    digest = hashlib.sha256(target.read_bytes() + (folder / "tokenizer.json").read_bytes()).hexdigest()
    return {"name": encoder.name, "digest": digest, "max_tokens": encoder.max_tokens}


def save_tokenizer(encoder: TextEncoder, path: Path) -> None:
    """Write the fast tokenizer with truncation and padding switched on, for the `tokenizers` package alone."""
    fast = encoder.tokenizer.backend_tokenizer
    fast.enable_truncation(encoder.max_tokens)
    fast.enable_padding(pad_id=encoder.tokenizer.pad_token_id or 0, pad_token=encoder.tokenizer.pad_token or "[PAD]")
    fast.save(str(path))
