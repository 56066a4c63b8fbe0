"""What is to be predicted."""

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from model.config.tables import Name, Section

PAIR_KINDS = ("binary", "regression", "ordinal", "next_item")
RESERVED = ("user_id", "item_id", "rank", "score", "target", "scene", "timestamp")  # columns of the batch commands


class Task(Section):
    """One task: a pair task (binary, regression, ordinal, next_item) or a side task (all others).

    `label` and `given` are expressions over the columns of the interactions (model.features.rules); next_item may do
    without (every event counts). `weight` is the task's part in the loss, `blend` its part in the score (null: 1 when
    no task says it, else 0); `low`, `high` the range of a regression or ordinal label (null: as in training).
    `horizon` (seconds, or "ever") makes a binary label look ahead: a row is positive when a row of the same user, item
    and part, at most that much later, fulfils the label; `given` says which rows ask (a view, say).
    `after` (a binary task's name) makes a binary label the end of a chain: it can only come where that one came, so its
    probability is the product of both and every row that tells one of them may tell the other (ESMM, Ma et al. 2018).
    `attributes` limits an item_attributes or user_profile task (default: the one it is named after, else all).
    """

    name: Name
    kind: Literal[
        "binary", "regression", "ordinal", "next_item",
        "item_attributes", "user_profile", "scene", "graph_links", "self_supervision",
    ]  # fmt: skip
    label: Name | None = None
    given: Name | None = None
    negatives: int = Field(default=0, ge=0, le=1000)
    weight: float = Field(default=1.0, ge=0)
    blend: float | None = Field(default=None, ge=0)
    low: float | None = None
    high: float | None = None
    horizon: PositiveFloat | Literal["ever"] | None = None
    after: Name | None = None
    attributes: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> "Task":
        if self.label is None and self.kind in ("binary", "regression", "ordinal"):
            raise ValueError(f"a {self.kind} task needs a label: an expression such as \"event == 'buy'\"")
        if self.name in RESERVED:
            raise ValueError(f"{self.name!r} is a column of the batch answers; give the task another name")
        if self.horizon is not None and self.kind != "binary":
            raise ValueError(f"horizon belongs to binary tasks; {self.kind} labels are the row's own")
        if self.after is not None and self.kind != "binary":
            raise ValueError(f"after belongs to binary tasks; {self.kind} is no event that follows another")
        if not self.is_pair and (self.label or self.given or self.negatives or self.blend is not None):
            raise ValueError(f"label, given, negatives and blend belong to pair tasks; {self.kind} is a side task")
        return self

    @property
    def is_pair(self) -> bool:
        """Whether the task is about a user and an item in a context, hence a column of the ranker's output."""
        return self.kind in PAIR_KINDS
