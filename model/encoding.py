"""Which text encoder a run reads with, as its graph: the recipe's own, or one tuned on the recipe's data."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.bundle import TextEncoder as EncoderInfo
from model.config import Recipe
from model.data.log import Dataset
from model.export.parity import prove_text
from model.export.text import export_text_encoder
from model.features.lexical import Lexicon
from model.nn.encoder import TextEncoder
from model.train.encode import tune
from model.train.kin import kin_of
from model.train.lexicon import fit_lexicon
from model.train.record import Record
from model.train.texts import cached_vectors, graph_encoder

CACHE = Path("runs") / ".cache"
PROVEN = 300  # texts of the catalogue on which a tuned encoder's graph is held against torch


@dataclass(frozen=True, slots=True)
class Encoder:
    """The exported text encoder of a run: its folder, what the manifest says of it, the width of its vectors, and how
    near it stays to the encoder it was made from; and the lexical half of its texts, if they have one."""

    folder: Path
    info: EncoderInfo
    width: int
    gate: dict[str, float]
    lexicon: Lexicon | None = None

    @property
    def told(self) -> EncoderInfo:
        """What the manifest says: as `info`, with a digest that is the lexicon's too."""
        if self.lexicon is None:
            return self.info
        both = hashlib.sha256(f"{self.info.digest} {self.lexicon.digest()}".encode()).hexdigest()
        return self.info.model_copy(update={"digest": both})

    def vectors(self, texts: list[str], threads: int) -> NDArray[np.float32]:
        """Text vectors of the catalogue, float32 [N, text_dim], the encoder's part from the cache where it has them.

        The cache is the encoder's own, by the digest of its graph and tokenizer: encoders never mix.
        """
        encode = graph_encoder(self.folder, self.info.max_tokens, self.width, threads)
        found = cached_vectors(texts, encode, self.width, CACHE / "texts" / f"{self.info.digest[:16]}.npz")
        return found if self.lexicon is None else self.lexicon.beside(found, texts)


def run_encoder(recipe: Recipe, dataset: Dataset, texts: list[str], record: Record, threads: int = 1) -> Encoder:
    """The encoder as `training.encoder_mode` asks, frozen or tuned on the part of the log that the towers know, and the
    lexicon of `texts` (the catalogue's, by row) as `lexical_dim` does."""
    settings = recipe.training
    frozen = settings.encoder_mode == "frozen"
    encoder = exported_encoder(recipe) if frozen else tuned_encoder(recipe, dataset, texts, record)
    if not settings.lexical_dim:
        return encoder
    return replace(encoder, lexicon=fit_lexicon(texts, encoder.vectors(texts, threads), settings.lexical_dim))


def exported_encoder(recipe: Recipe) -> Encoder:
    """The recipe's text encoder as its graph, exported once and kept in the cache."""
    name, max_tokens = recipe.training.encoder, recipe.training.max_tokens
    place = CACHE / "encoders" / f"{Path(name).name}-{max_tokens}-int8"
    kept = place / "encoder.json"
    if not kept.is_file():
        encoder = TextEncoder(name, max_tokens)
        made = _exported(encoder, place, [])
        said = {"info": made.info.model_dump(), "width": made.width, "gate": made.gate}
        kept.write_text(json.dumps(said), encoding="utf-8")
    said = json.loads(kept.read_text(encoding="utf-8"))
    return Encoder(place, EncoderInfo(**said["info"]), said["width"], said["gate"])


def tuned_encoder(recipe: Recipe, dataset: Dataset, texts: list[str], record: Record) -> Encoder:
    """The recipe's text encoder, tuned on what the towers may know, as a graph in the run's folder."""
    settings = recipe.training
    torch.manual_seed(settings.seed)
    generator = np.random.default_rng(settings.seed)
    encoder = TextEncoder(settings.encoder, settings.max_tokens, settings.encoder_mode)
    kin = kin_of(recipe, dataset, texts)
    record.figures["encoder"] = tune(encoder, texts, kin, settings, generator, record.epoch)
    record.stage("encoder")
    told = sorted({text for text in texts if text})
    shown = [told[place] for place in generator.permutation(len(told))[:PROVEN]]
    return _exported(encoder, record.folder / "encoder", shown)


def _exported(encoder: TextEncoder, place: Path, texts: list[str]) -> Encoder:
    """An encoder as its graph in the folder `place`, held against torch on `texts`."""
    place.mkdir(parents=True, exist_ok=True)
    info = EncoderInfo(**export_text_encoder(encoder, place))
    return Encoder(place, info, encoder.width, prove_text(encoder, place, texts))
