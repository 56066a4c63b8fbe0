"""What goes over the wire: every request and answer of the HTTP surface, unknown fields refused."""

import math
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from model.features.spec import Value
from model.ids import MAX_ID_BYTES, IdError, check_id

MAX_TEXT = 20_000  # characters of one text field
MAX_WORD = 1_000  # characters of one attribute or context value
LARGEST = 1e300  # absolute value of a number
FUTURE_S = 3600.0  # how far ahead a client's clock may be
ALLOWED = "x-allowed"  # JSON schema key: what is allowed here, in words


def _id(value: str) -> str:
    try:
        return check_id(value)
    except IdError as error:
        raise PydanticCustomError("id", "{move}", {"move": error.move}) from None


def _scalar(value: Any) -> Value:
    if isinstance(value, bool) or (isinstance(value, str) and len(value) <= MAX_WORD):
        return value
    if isinstance(value, int | float) and abs(value) < LARGEST:
        return float(value)
    raise PydanticCustomError("scalar", "give a string, a finite number or a boolean")


def _scalars(value: Any) -> Value | tuple[Value, ...]:
    if not isinstance(value, list | tuple):
        return _scalar(value)
    if len(value) > MAX_WORD:
        raise PydanticCustomError("scalar", "give at most {limit} values", {"limit": MAX_WORD})
    return tuple(_scalar(one) for one in value)


def _wanted(value: Any) -> Value | dict[str, float]:
    """One wanted value of a filter: a scalar, or for numeric attributes a range."""
    if not isinstance(value, dict):
        return _scalar(value)
    if not value or not value.keys() <= {"min", "max"} or not all(map(_is_number, value.values())):
        raise PydanticCustomError("scalar", "give a range of two numbers, min and max, or of one of them")
    return {name: float(bound) for name, bound in value.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _moment(value: Any) -> float:
    """Epoch seconds of a number or an ISO-8601 string (UTC when it names no offset)."""
    seconds = _iso(value) if isinstance(value, str) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise PydanticCustomError("moment", "give epoch seconds or an ISO-8601 string")
    if not 0 <= seconds <= time.time() + FUTURE_S:
        raise PydanticCustomError("moment", "give a time between 1970 and an hour from now, in seconds")
    return float(seconds)


def _iso(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _words(kind: object, allowed: str, **more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, ALLOWED: allowed, **more})


SCALAR = "a string of at most 1000 characters, a finite number or a boolean"
Id: TypeAlias = Annotated[
    str,
    AfterValidator(_id),
    _words(
        "string", f"a string of 1 to {MAX_ID_BYTES} bytes of UTF-8 without NUL", minLength=1, maxLength=MAX_ID_BYTES
    ),
]
Scalar: TypeAlias = Annotated[Value, PlainValidator(_scalar), _words(["string", "number", "boolean"], SCALAR)]
Values: TypeAlias = Annotated[
    Value | tuple[Value, ...],
    PlainValidator(_scalars),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
            ],
            ALLOWED: f"{SCALAR}, or a list of them",
        }
    ),
]
RANGE = {"type": "object", "properties": {"min": {"type": "number"}, "max": {"type": "number"}}}
Wanted: TypeAlias = Annotated[
    Value | dict[str, float],
    PlainValidator(_wanted),
    WithJsonSchema(
        {
            "anyOf": [{"type": ["string", "number", "boolean"]}, RANGE],
            ALLOWED: f'{SCALAR}; for numeric attributes also {{"min": number, "max": number}}',
        }
    ),
]
Moment: TypeAlias = Annotated[
    float,
    PlainValidator(_moment),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "number", "minimum": 0}],
            ALLOWED: "epoch seconds or an ISO-8601 string, from 1970 to an hour from now",
        }
    ),
]
Text: TypeAlias = Annotated[str, Field(max_length=MAX_TEXT)]
Number: TypeAlias = Annotated[float, Field(ge=-1e30, le=1e30)]
Weight: TypeAlias = Annotated[float, Field(ge=0, le=1e6)]
Context: TypeAlias = Annotated[dict[Id, Scalar], Field(max_length=100)]
Choice: TypeAlias = Annotated[dict[Id, Annotated[list[Wanted], Field(max_length=1000)]], Field(max_length=50)]


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

    include: Choice = {}
    exclude: Choice = {}


class RecommendBody(Wire):
    """POST /recommend."""

    user_id: Id | None = Field(None, description="an unknown user is answered as well")
    session_id: Id | None = None
    n: int = Field(20, ge=1, le=200, description="how many to answer")
    target: Literal["item", "user", "scene"] = Field("item", description="what to recommend")
    scene: Id | None = Field(None, description="only items of this scene")
    context: Context = Field({}, description="what is known now: columns of the recipe; others are ignored")
    history: list[PastEvent] = Field([], max_length=200, description="this session's events, oldest first, not stored")
    query: str | None = Field(None, max_length=MAX_WORD, description="free text to look for")
    filter: Filter = Filter()
    exclude_items: list[Id] = Field([], max_length=10_000)
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
    context: Context = {}

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise PydanticCustomError("somebody", "user_id: missing; give user_id or session_id")
        return self


class ItemBody(Wire):
    """PUT /items/{id}: what is left out is unknown."""

    text: dict[Id, Text] = Field({}, max_length=50)
    attributes: dict[Id, Values] = Field({}, max_length=200)
    hidden: bool = Field(False, description="known, but never answered")


class ItemPatch(Wire):
    """PATCH /items/{id}: what is left out stays, null removes."""

    text: dict[Id, Text | None] = Field({}, max_length=50)
    attributes: dict[Id, Values | None] = Field({}, max_length=200)
    hidden: bool | None = None


class BatchItem(ItemBody):
    """One item of POST /items:batch."""

    item_id: Id


class BatchItems(Wire):
    """POST /items:batch; the list alone does as well."""

    items: list[BatchItem]


class UserBody(Wire):
    """PUT /users/{id}: what is left out is unknown."""

    profile: dict[Id, Values] = Field({}, max_length=200)


class UserPatch(Wire):
    """PATCH /users/{id}: what is left out stays, null removes."""

    profile: dict[Id, Values | None] = Field({}, max_length=200)


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


class RecommendAnswer(Answer):
    """Answer of POST /recommend."""

    recommendation_id: str
    bundle: str
    items: list[Recommended]
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


def finite(value: float) -> float | None:
    """A number as JSON can carry it."""
    return value if math.isfinite(value) else None
