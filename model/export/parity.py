"""Proof that the exported graphs say what the networks say, over every dynamic axis; the manifest keeps the result."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.errors import GateError
from model.export.signatures import OUTPUTS, Array, Axis, signatures
from model.features.fused import LOOP, NATIVE, FusedRanker
from model.features.sessions import Session, open_session
from model.features.spec import FeatureSpec
from model.features.text import open_tokenizer, text_vectors
from model.nn.encoder import TextEncoder
from model.nn.model import MultiTaskModel

# Both sides compute in float32 and add up in another order: some 1e-7 of the largest number a step, over a few hundred.
TOLERANCE = 1e-4
SIZES = {"B": (1, 3), "L": (1, 4, 50), "C": (1, 7, 300), "S": (1, 9, 32)}
NEAREST = 10
GATES = {"cosine": 0.97, "neighbours": 0.9}  # of int8 against float32: mean cosine, recall of the nearest neighbours

Inputs = Mapping[str, Array]


def prove(model: MultiTaskModel, folder: Path, spec: FeatureSpec, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Graph → {max_abs_error, tolerance, cases} for the manifest; raises GateError when one departs from its net."""
    nets = {"item_tower": model.item_tower, "user_tower": model.user_tower, "ranker": model.ranker}
    tables = signatures(spec, model.items)
    generator = np.random.default_rng(seed)
    found = {name: _proven(name, net, folder, cases(tables[name], generator)) for name, net in nets.items()}
    if NATIVE and (folder / LOOP).is_file():
        loop = FusedRanker(open_session(folder / "ranker.onnx"), np.load(folder / LOOP))
        found["ranker_loop"] = _within(LOOP, model.ranker, loop, "logits", cases(tables["ranker"], generator))
    return found


def cases(inputs: Mapping[str, Axis], generator: np.random.Generator) -> list[Inputs]:
    """Random inputs for every combination of sizes of the dynamic axes; the first event of each history is padding."""
    letters = sorted({axis for one in inputs.values() for axis in one.axes if isinstance(axis, str)})
    sizes = [dict(zip(letters, values, strict=True)) for values in product(*(SIZES[letter] for letter in letters))]
    made = [{name: axis.random(size, generator) for name, axis in inputs.items()} for size in sizes]
    for one in made:
        if "history_types" in one:
            one["history_types"][:, 0] = 0
    return list(made)


def compare(net: nn.Module, session: Session, output: str, inputs: Sequence[Inputs]) -> tuple[float, float]:
    """Largest absolute error over all inputs, and the tolerance: TOLERANCE times the largest output, at least 1."""
    error, largest = 0.0, 1.0
    for one in inputs:
        expected = _torch(net, one)
        (found,) = session.run([output], one)
        if found.shape != expected.shape:
            raise GateError(f"parity of {output}", found.shape, f"the net gives {expected.shape}; export it again")
        error = max(error, float(np.abs(found - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
    return error, TOLERANCE * largest


def prove_text(encoder: TextEncoder, folder: Path, texts: Sequence[str] = ()) -> dict[str, float]:
    """How near the exported encoder with its tokenizer file stays to torch on `texts`; raises GateError below GATES.

    cosine: mean cosine of a text's two vectors · neighbours: share of its ten nearest texts that stay so. Without texts
    random ones of the tokenizer's own words are read, which lie closer together than any catalogue.
    """
    texts = texts or probe_texts(encoder)
    session = open_session(folder / "text_encoder.onnx")
    tokenizer = open_tokenizer(folder / "tokenizer.json", encoder.max_tokens)
    found = text_vectors(session, tokenizer, texts, encoder.width)
    expected = encoder.encode(texts).numpy()
    measured = {
        "cosine": float((found * expected).sum(1).mean()),
        "neighbours": neighbour_recall(found, expected),
        "texts": len(texts),
    }
    for name, gate in GATES.items():
        if not measured[name] >= gate:
            raise GateError(f"text encoder, {name}", round(measured[name], 4), f"it must be {gate} or more")
    return measured


def probe_texts(encoder: TextEncoder, count: int = 200, seed: int = 0) -> list[str]:
    """Random texts of 3 to 12 of the tokenizer's tokens, whatever its language."""
    generator = np.random.default_rng(seed)
    special = set(encoder.tokenizer.all_special_ids)
    plain = [number for number in range(encoder.tokenizer.vocab_size) if number not in special]
    drawn = (generator.choice(plain, generator.integers(3, 13)).tolist() for _ in range(count))
    texts = (str(encoder.tokenizer.decode(ids)) for ids in drawn)
    return [text for text in texts if text.strip()]


def neighbour_recall(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Share of each row's NEAREST rows by `expected` [n, D] that are so by `found` too; 1 where there are no others."""
    count = min(NEAREST, len(expected) - 1)
    if count < 1:
        return 1.0
    pairs = zip(_nearest(found, count), _nearest(expected, count), strict=True)
    return float(np.mean([len(np.intersect1d(one, other)) / count for one, other in pairs]))


def _nearest(vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def _proven(name: str, net: nn.Module, folder: Path, inputs: list[Inputs]) -> dict[str, Any]:
    return _within(f"{name}.onnx", net, open_session(folder / f"{name}.onnx"), OUTPUTS[name], inputs)


def _within(file: str, net: nn.Module, session: Session, output: str, inputs: list[Inputs]) -> dict[str, Any]:
    error, tolerance = compare(net, session, output, inputs)
    if not error <= tolerance:
        raise GateError(f"parity of {file}", error, f"it must be within {tolerance:g} of the net; export it again")
    return {"max_abs_error": error, "tolerance": tolerance, "cases": len(inputs)}


def _torch(net: nn.Module, inputs: Inputs) -> NDArray[np.float32]:
    training = net.training
    net.eval()
    with torch.no_grad():
        made: NDArray[np.float32] = net(**{name: torch.from_numpy(array) for name, array in inputs.items()}).numpy()
    net.train(training)
    return made
