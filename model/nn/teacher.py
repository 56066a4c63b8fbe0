"""The teacher: a small cross-encoder that reads what is told of a user and of a candidate as one text.

Words of both meet in every layer, which no exported graph could afford for hundreds of candidates a request. To stay
within minutes of two cores it has the encoder's own word vectors, frozen, under two layers of its own; its heads are
the ranker's. It is never exported: what it knows reaches the ranker as soft labels (Hinton et al. 2015).
"""

import torch
from torch import Tensor, nn

from model.features.spec import FeatureSpec
from model.nn.heads import Heads, TaskValues
from model.nn.settings import NetSettings

WIDTH, LAYERS, ATTENTION = 64, 2, 4
USER_TOKENS, ITEM_TOKENS = 96, 24
PARTS = 2  # of the text: the user's, the candidate's


class Teacher(nn.Module):
    """Token ids of users and candidates → raw readings of all tasks, as `Ranker.raw` gives them."""

    words: Tensor

    def __init__(self, words: Tensor, spec: FeatureSpec, settings: NetSettings) -> None:
        super().__init__()
        self.register_buffer("words", words / words.std(), persistent=False)
        self.read = nn.Linear(words.shape[1], WIDTH)
        self.part = nn.Embedding(PARTS, WIDTH)
        self.place = nn.Embedding(USER_TOKENS, WIDTH)
        self.begin = nn.Parameter(torch.randn(WIDTH) * 0.1)
        for table in (self.part, self.place):
            nn.init.normal_(table.weight, std=0.1)  # beside words of variance 1
        layer = nn.TransformerEncoderLayer(
            WIDTH, ATTENTION, 2 * WIDTH, settings.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.ModuleList([layer, *(_like(layer) for _ in range(LAYERS - 1))])
        self.norm = nn.LayerNorm(WIDTH)
        self.mixed = nn.Linear(2 * WIDTH, settings.expert_output)
        self.tasks = len(spec.tasks)
        self.heads = Heads(spec.tasks, 0, settings)
        self.values = TaskValues(spec.tasks)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users int64 [B, U], items int64 [B, C, V], both −1 where there is no token → raw readings [B, C, T]."""
        count = items.shape[1]
        texts = torch.cat([users.unsqueeze(1).expand(-1, count, -1), items], dim=-1).flatten(0, 1)
        x, hidden = self._embedded(texts, users.shape[1])
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=hidden)
        x = self.norm(x)
        of_user, of_item = (_mean(x[:, some], hidden[:, some]) for some in _halves(users.shape[1]))
        mixed = self.mixed(torch.cat([x[:, 0], of_user * of_item], dim=-1)).unflatten(0, (-1, count))
        mixed = mixed.transpose(1, 2).unsqueeze(1)  # [B, 1, output, C]
        raw: Tensor = self.heads(mixed.expand(-1, self.tasks, -1, -1), torch.ones_like(mixed[:, 0, :1]))
        return raw.transpose(1, 2)

    def _embedded(self, texts: Tensor, user_tokens: int) -> tuple[Tensor, Tensor]:
        """Vectors [n, 1 + S, WIDTH] of a begin mark and the tokens, and which of these are padding."""
        places = torch.arange(texts.shape[1], device=texts.device)
        of_item = places >= user_tokens
        x = self.read(self.words[texts.clamp(min=0)])
        x = x + self.part(of_item.long()) + self.place(torch.where(of_item, places - user_tokens, places))
        begin = self.begin.expand(len(texts), 1, -1)
        return torch.cat([begin, x], dim=1), nn.functional.pad(texts < 0, (1, 0), value=False)


def _halves(user_tokens: int) -> tuple[slice, slice]:
    """Where the user's tokens stand after the begin mark, and where the candidate's."""
    return slice(1, 1 + user_tokens), slice(1 + user_tokens, None)


def _mean(x: Tensor, hidden: Tensor) -> Tensor:
    """Mean [n, WIDTH] over places that are not hidden, 0 where all are; x [n, S, WIDTH], hidden bool [n, S]."""
    shown = (~hidden).unsqueeze(-1).to(x.dtype)
    return (x * shown).sum(1) / shown.sum(1).clamp(min=1.0)


def _like(layer: nn.TransformerEncoderLayer) -> nn.TransformerEncoderLayer:
    """A fresh layer of the same sizes."""
    return nn.TransformerEncoderLayer(
        WIDTH, ATTENTION, 2 * WIDTH, layer.dropout.p, "gelu", batch_first=True, norm_first=True
    )
