"""The text encoder as a graph, its large products in int8, and its tokenizer as one file."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from model.export.onnx import export_graph
from model.export.signatures import OUTPUTS, Axis
from model.nn.encoder import TextEncoder


def export_text_encoder(encoder: TextEncoder, folder: Path, quantise: bool = True) -> dict[str, Any]:
    """Write text_encoder.onnx and tokenizer.json; returns the manifest's `text_encoder` (name, digest, max_tokens).

    The tokenizer file already cuts at max_tokens and pads a batch to its longest text.
    """
    vocabulary = int(encoder.tokenizer.vocab_size)
    inputs = {"input_ids": Axis(("B", "S"), vocabulary), "attention_mask": Axis(("B", "S"), 2)}
    target = folder / "text_encoder.onnx"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        plain = Path(scratch) / "plain.onnx" if quantise else target
        export_graph(encoder, inputs, OUTPUTS["text_encoder"], plain)
        if quantise:
            quantise_products(plain, target)
    save_tokenizer(encoder, folder / "tokenizer.json")
    digest = hashlib.sha256(target.read_bytes() + (folder / "tokenizer.json").read_bytes()).hexdigest()
    return {"name": encoder.name, "digest": digest, "max_tokens": encoder.max_tokens}


def quantise_products(source: Path, target: Path) -> None:
    """Weights of matrix products as int8, one scale a channel: one a tensor loses a tenth of the nearest neighbours."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # slow to import

    quantize_dynamic(source, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)


def save_tokenizer(encoder: TextEncoder, path: Path) -> None:
    """Write the fast tokenizer with truncation and padding switched on, for the `tokenizers` package alone."""
    fast = encoder.tokenizer.backend_tokenizer
    fast.enable_truncation(encoder.max_tokens)
    fast.enable_padding(pad_id=encoder.tokenizer.pad_token_id or 0, pad_token=encoder.tokenizer.pad_token or "[PAD]")
    fast.save(str(path))
