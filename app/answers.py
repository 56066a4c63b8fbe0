"""Every answer of the HTTP surface: what the OpenAPI document promises and tests hold the routes to."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Base of every answer; they are written by hand on the hot path, these models document and test them."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Recommended(Answer):
    """One item of an answer."""

    item_id: str
    score: float
    task_scores: dict[str, float]
    channels: list[str]
    reasons: list[Any] | None = None


class RecommendedUser(Answer):
    """One user of an answer for target user."""

    user_id: str
    score: float
    task_scores: dict[str, float]
    channels: list[str]
    reasons: list[Any] | None = None


class RecommendedScene(Answer):
    """One scene of an answer for target scene, with the best of what it shows."""

    scene: str
    score: float
    recommendation_id: str
    items: list[Recommended]


class RecommendAnswer(Answer):
    """Answer of POST /recommend."""

    recommendation_id: str
    bundle: str
    items: list[Recommended] | None = Field(None, description="for target item")
    users: list[RecommendedUser] | None = Field(None, description="for target user, in place of items")
    scenes: list[RecommendedScene] | None = Field(None, description="for target scene, in place of items")
    fallback: str | None
    degraded: bool
    took_ms: float


class Rejected(Answer):
    """An element of a list that was not taken, and why."""

    index: int
    error: str


class FeedbackAnswer(Answer):
    """Answer of POST /feedback."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]
    durability: str = Field(description="what an accepted event survives")


class ItemAnswer(Answer):
    """An item as it is known."""

    item_id: str
    text: dict[str, str]
    attributes: dict[str, Any]
    hidden: bool


class UserAnswer(Answer):
    """A user as known."""

    user_id: str
    profile: dict[str, Any]


class BatchAnswer(Answer):
    """Answer of a batch: each element stands alone."""

    created: int
    updated: int
    rejected: list[Rejected]


class DeletedAnswer(Answer):
    """Answer of DELETE /items/{id}."""

    item_id: str
    deleted: bool


class ScoredItem(Answer):
    """An item and its nearness."""

    item_id: str
    score: float


class SimilarItems(Answer):
    """Answer of GET /items/{id}/similar, best first."""

    items: list[ScoredItem]


class ScoredUser(Answer):
    """A user and their nearness."""

    user_id: str
    score: float


class SimilarUsers(Answer):
    """Answer of GET /users/{id}/similar, best first."""

    users: list[ScoredUser]


class ExportAnswer(Answer):
    """Answer of GET /users/{id}/export: everything that is kept of a user."""

    user_id: str
    profile: dict[str, Any] | None
    events: list[dict[str, Any]]


class ErasedAnswer(Answer):
    """Receipt of DELETE /users/{id}: what was erased, and how much of it."""

    user_id: str
    state: dict[str, int] = Field(description="what was deleted from the state store, by kind")
    bundle: dict[str, int] = Field(description="what of the live bundle is masked until the next training")


class BundleInfo(Answer):
    """One bundle of the bundles folder."""

    version: str
    created: str
    sealed: bool
    active: bool


class BundlesAnswer(Answer):
    """Answer of GET /bundles, newest first."""

    active: str
    bundles: list[BundleInfo]


class ActivatedAnswer(Answer):
    """Answer of POST /bundles/{version}/activate."""

    active: str
    previous: str


class HealthAnswer(Answer):
    """Answer of GET /healthz: the process lives."""

    status: Literal["ok"]


class ReadyAnswer(Answer):
    """Answer of GET /readyz."""

    status: Literal["ready", "degraded", "starting"]
    bundle: str | None
    state: str
    detail: str = ""
