"""Every request of the HTTP surface, unknown fields refused."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.values import MAX_WORD, Choice, Context, Id, Moment, Number, Text, Values, Weight


class Wire(BaseModel):
    """Base of every request: exact types, finite numbers, no field that is not known."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class PastEvent(Wire):
    """One event of this session, told with the request and not stored."""

    item_id: Id
    type: Id
    value: Number | None = None
    timestamp: Moment | None = None


class Filter(Wire):
    """Which items may be answered: each attribute named in `include` has one of its values, none in `exclude` has."""

    include: Choice = Field(default_factory=dict)
    exclude: Choice = Field(default_factory=dict)


class RecommendBody(Wire):
    """POST /recommend."""

    user_id: Id | None = Field(None, description="an unknown user is answered as well")
    session_id: Id | None = None
    n: int = Field(20, ge=1, le=200, description="how many to answer")
    target: Literal["item", "user", "scene"] = Field("item", description="what to recommend")
    scene: Id | None = Field(None, description="only items of this scene")
    context: Context = Field(
        default_factory=dict, description="what is known now: columns of the recipe; others are ignored"
    )
    history: list[PastEvent] = Field(
        default_factory=list, max_length=200, description="this session's events, oldest first, not stored"
    )
    query: str | None = Field(None, max_length=MAX_WORD, description="free text to look for")
    filter: Filter = Filter()
    exclude_items: list[Id] = Field(default_factory=list, max_length=10_000)
    exclude_seen: bool = Field(True, description="leave out what the user has met in training, feedback or history")
    task_weights: dict[Id, Weight] | None = Field(None, max_length=100, description="instead of the recipe's blend")
    diversity: float | None = Field(None, ge=0, le=1, description="the recipe's own when left out, 0 by default")
    explain: bool = False
    timeout_ms: int | None = Field(None, ge=1, le=60_000, description="deadline; after it a fallback answers")

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if self.task_weights is not None and not any(self.task_weights.values()):
            raise PydanticCustomError("weights", "task_weights: give at least one weight above 0")
        return self


class FeedbackEvent(Wire):
    """One event of POST /feedback."""

    event_id: Id | None = Field(None, description="the same id is counted once")
    type: Id = Field(description="an event type of the recipe")
    user_id: Id | None = None
    session_id: Id | None = None
    item_id: Id
    value: Number | None = None
    timestamp: Moment | None = Field(None, description="now when left out")
    recommendation_id: Id | None = None
    context: Context = Field(default_factory=dict)

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise PydanticCustomError("somebody", "user_id: missing; give user_id or session_id")
        return self


class ItemBody(Wire):
    """PUT /items/{id}: what is left out is unknown."""

    text: dict[Id, Text] = Field(default_factory=dict, max_length=50)
    attributes: dict[Id, Values] = Field(default_factory=dict, max_length=200)
    hidden: bool = Field(False, description="known, but never answered")


class ItemPatch(Wire):
    """PATCH /items/{id}: what is left out stays, null removes."""

    text: dict[Id, Text | None] = Field(default_factory=dict, max_length=50)
    attributes: dict[Id, Values | None] = Field(default_factory=dict, max_length=200)
    hidden: bool | None = None


class BatchItem(ItemBody):
    """One item of POST /items:batch."""

    item_id: Id


class BatchItems(Wire):
    """POST /items:batch; the list alone does as well."""

    items: list[BatchItem]


class UserBody(Wire):
    """PUT /users/{id}: what is left out is unknown."""

    profile: dict[Id, Values] = Field(default_factory=dict, max_length=200)


class UserPatch(Wire):
    """PATCH /users/{id}: what is left out stays, null removes."""

    profile: dict[Id, Values | None] = Field(default_factory=dict, max_length=200)


class BatchUser(UserBody):
    """One user of POST /users:batch."""

    user_id: Id


class BatchUsers(Wire):
    """POST /users:batch; the list alone does as well."""

    users: list[BatchUser]


class Nothing(Wire):
    """A request without a body or a query."""


class SimilarQuery(Wire):
    """GET …/similar."""

    model_config = ConfigDict(strict=False)

    n: int = Field(20, ge=1, le=200, description="how many to answer")
