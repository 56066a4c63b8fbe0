"""Random-weight but real graphs for tests, exported once a checkout: an export takes seconds."""

import fcntl
import hashlib
import importlib.metadata
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from model.features.spec import AttributeSpec, ChannelSpec, ContextSpec, FeatureSpec, TaskSpec

GENRES = ("comedy", "drama", "horror", "romance", "western")
ADJECTIVES = ("quiet", "golden", "broken", "hidden", "last", "little", "midnight", "paper", "silver", "wild")
NOUNS = ("garden", "letter", "mountain", "night", "river", "road", "shadow", "song", "storm", "winter")
ROOT = Path(__file__).parents[1]
TEXT_DIMS = {"tiny": 32, "minilm": 384}


def small_spec(text_encoder: str = "tiny", dim: int = 16) -> FeatureSpec:
    """The spec of the random bundles: three tasks, three channels, genres and year, a profile, two context columns."""
    genres = AttributeSpec(name="genres", kind="multi", values=GENRES, offset=1)
    year = AttributeSpec(name="release_year", kind="numeric", edges=(1980.0, 1990.0, 2000.0), offset=1 + len(GENRES))
    return FeatureSpec(
        event_types=("view", "like", "rating"),
        tasks=(
            TaskSpec(name="interest", kind="binary", blend=1.0),
            TaskSpec(name="like", kind="binary"),
            TaskSpec(name="rating", kind="regression", low=1, high=5),
        ),
        text_fields=("title",),
        attributes=(genres, year),
        profile=(
            AttributeSpec(name="gender", kind="categorical", values=("F", "M"), offset=1),
            AttributeSpec(name="age", kind="numeric", edges=(25.0, 40.0), offset=3),
        ),
        context=(
            ContextSpec(name="device", values=("mobile", "desktop")),
            ContextSpec(name="hour", values=tuple(str(hour) for hour in range(24))),
        ),
        dim=dim,
        text_dim=TEXT_DIMS[text_encoder],
        graph_dim=8,
        max_attributes=4,
        max_profile=2,
        history_length=20,
        rank_history=10,
        value_low=1.0,
        value_high=5.0,
        valued=True,
        own_contexts=True,
        channels=(
            ChannelSpec(name="tower", kind="tower", size=40),
            ChannelSpec(name="cooccurrence", kind="neighbours", decay=0.8, depth=20, size=40),
            ChannelSpec(name="graph", kind="neighbours", decay=0.9, depth=20, size=20),
        ),
    )


@lru_cache(maxsize=8)
def graphs(text_encoder: str, items: int, dim: int) -> Path:
    """A folder with the four graphs, tokenizer.json and made.json (text_encoder, parity); never write into it.

    It is kept between runs beside other temporary files, under a name that digests everything it was made from. `items`
    is the number of id embeddings; bundles of fewer items use the same graphs.
    """
    wanted = f"{text_encoder}-{items}-{dim}-{_sources()}"
    folder = Path(tempfile.gettempdir()) / f"polyrank-graphs-{hashlib.sha256(wanted.encode()).hexdigest()[:24]}"
    with _locked(folder.with_suffix(".lock")):
        if not folder.exists():
            _make(text_encoder, items, dim, folder)
    return folder


def made(folder: Path) -> dict[str, Any]:
    """What export said of the graphs in a folder of `graphs`."""
    said: dict[str, Any] = orjson.loads((folder / "made.json").read_bytes())
    return said


def tiny_encoder(folder: Path, width: int = 32) -> Path:
    """Write a small random BERT with a word-piece tokenizer in the Hugging Face layout; returns `folder`."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = [f"{mark}{letter}" for mark in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GENRES, *ADJECTIVES, *NOUNS, *letters]
    tokenizer = BertTokenizer(vocab={word: place for place, word in enumerate(words)}, model_max_length=64)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=64,
    )
    tokenizer.save_pretrained(folder)
    BertModel(config).save_pretrained(folder)
    return folder


def multilingual_encoder(folder: Path, width: int = 32) -> Path:
    """Write a small random XLM-RoBERTa with a unigram tokenizer of several scripts; returns `folder`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    folder.mkdir(parents=True, exist_ok=True)
    words = [f"▁{word}" for word in (*ADJECTIVES, *NOUNS)] + [
        "▁",
        *"红楼梦三国演义第一回东京物语龙",
        *"abcdefghijklmnopqrstuvwxyz",
    ]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *words]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(place)) for place, piece in enumerate(pieces)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=62, **special).save_pretrained(folder)
    config = XLMRobertaConfig(
        vocab_size=len(pieces),
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        pad_token_id=1,
    )
    XLMRobertaModel(config).save_pretrained(folder)
    return folder


def _make(text_encoder: str, items: int, dim: int, folder: Path) -> None:
    import torch

    from model.export.onnx import export_graphs
    from model.export.parity import prove
    from model.export.text import export_text_encoder
    from model.nn.encoder import DEFAULT, TextEncoder
    from model.nn.model import MultiTaskModel

    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, torch.random.fork_rng():
        torch.manual_seed(0)
        out = Path(scratch) / "graphs"
        out.mkdir()
        spec = small_spec(text_encoder, dim)
        model = MultiTaskModel(spec, items)
        export_graphs(model, spec, out)
        name = DEFAULT if text_encoder == "minilm" else str(tiny_encoder(Path(scratch) / "encoder", spec.text_dim))
        said = export_text_encoder(TextEncoder(name, max_tokens=32), out) | {"name": text_encoder}
        parity = prove(model, out, spec)
        (out / "made.json").write_bytes(orjson.dumps({"text_encoder": said, "parity": parity}))
        shutil.move(out, folder)


def _sources() -> str:
    """Digest of the code and the library versions that make a graph."""
    parts = [*ROOT.glob("model/nn/*.py"), *ROOT.glob("model/export/*.py"), *ROOT.glob("model/features/spec.py")]
    parts += [ROOT / "model" / "features" / "ranking.py", Path(__file__)]
    versions = [importlib.metadata.version(name) for name in ("torch", "onnx", "onnxscript", "transformers")]
    code = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(parts)]
    return hashlib.sha256(" ".join(versions + code).encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time: workers of a parallel run would all export otherwise."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
