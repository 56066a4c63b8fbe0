"""The feature spec: vocabularies, sizes and orders that training fixes and serving obeys; its digest is the schema."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Value: TypeAlias = str | float | bool
Values: TypeAlias = Value | Sequence[Value] | None

UNKNOWN = 0  # id 0 of every vocabulary: padding, missing, or never seen in training


class Frozen(BaseModel):
    """Base of every configuration record: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AttributeSpec(Frozen):
    """One attribute of an item or of a user profile.

    Categorical and multi-valued attributes have `values`; numeric ones `edges` (ascending, bin i is
    edges[i-1] ≤ x < edges[i]). Ids are global over all attributes: `offset` + position, from 1 on.
    """

    name: str
    kind: Literal["categorical", "multi", "numeric"]
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    offset: int

    @property
    def size(self) -> int:
        """Number of ids this attribute takes."""
        return len(self.edges) + 1 if self.kind == "numeric" else len(self.values)


class ContextSpec(Frozen):
    """One request-context column with its known values; id = position + 1, 0 for unknown."""

    name: str
    values: tuple[str, ...]


def _absent(value: object) -> bool:
    """Left out of the canonical JSON, so that the digest of a spec without chains and values is as it always was."""
    return value is None or value is False


class TaskSpec(Frozen):
    """One pair task: a column of the ranker's output."""

    name: str
    kind: Literal["binary", "regression", "ordinal", "next_item"]
    blend: float = 0.0  # default weight of this task's probability in the score
    low: float = 0.0  # range of a regression or ordinal label; maps the value to [0, 1] for blending
    high: float = 1.0
    after: str | None = Field(default=None, exclude_if=_absent)  # binary task that this one implies: a chain


class ChannelSpec(Frozen):
    """One recall channel whose score and rank the ranker reads, and how it reads a history."""

    name: str
    kind: Literal["tower", "neighbours"]
    decay: float = 1.0  # weight of an event relative to the next newer one
    depth: int = 50  # how many of the newest events it reads
    size: int = 200  # length of the list it offers


class FeatureSpec(Frozen):
    """Everything needed to turn records and requests into the networks' inputs (shapes in docs/architecture.md)."""

    schema_version: Literal[1] = 1
    event_types: tuple[str, ...]  # type id = position + 1
    tasks: tuple[TaskSpec, ...]
    text_fields: tuple[str, ...] = ()
    attributes: tuple[AttributeSpec, ...] = ()
    profile: tuple[AttributeSpec, ...] = ()
    context: tuple[ContextSpec, ...] = ()
    dim: int = 64  # D
    text_dim: int = 384
    graph_dim: int = 64
    max_attributes: int = 16  # A
    max_profile: int = 8  # P
    history_length: int = 50  # L, of the user tower
    rank_history: int = 20  # L, of the ranker's target attention
    gap_edges: tuple[float, ...] = (1, 10, 60, 600, 3600, 6 * 3600, 86400, 3 * 86400, 7 * 86400, 30 * 86400)  # seconds
    half_lives: tuple[float, ...] = (86400.0, 7 * 86400.0, 30 * 86400.0)  # seconds, then always the undecayed count
    value_low: float = 0.0  # range of event values, mapped to [0, 1] as an input
    value_high: float = 1.0
    valued: bool = Field(default=False, exclude_if=_absent)  # whether events have values that differ
    own_contexts: bool = Field(
        default=False, exclude_if=_absent
    )  # whether histories tell in which context events happened
    channels: Annotated[tuple[ChannelSpec, ...], Field(min_length=1)]  # order of the channel features

    def chains(self) -> dict[int, int]:
        """Column of each task that comes after another → column of that one; what comes before stands before."""
        names, found = [task.name for task in self.tasks], dict[int, int]()
        waiting = {place: names.index(task.after) for place, task in enumerate(self.tasks) if task.after is not None}
        while ready := [place for place, before in waiting.items() if before not in waiting]:
            found |= {place: waiting.pop(place) for place in ready}
        return found

    def digest(self) -> str:
        """sha256 of the canonical JSON: the schema that a bundle's graphs were made for."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def type_id(self, event_type: str) -> int:
        """Event type id, UNKNOWN when the recipe does not declare it."""
        return self.event_types.index(event_type) + 1 if event_type in self.event_types else UNKNOWN

    def attribute_ids(self, record: Mapping[str, Values]) -> NDArray[np.int32]:
        """Ids of an item's attributes, int32 [A], padded with 0; unknown values and names are left out."""
        return _ids(self.attributes, record, self.max_attributes)

    def profile_ids(self, record: Mapping[str, Values]) -> NDArray[np.int32]:
        """Ids of a user's profile, int32 [P], padded with 0."""
        return _ids(self.profile, record, self.max_profile)

    def context_ids(self, context: Mapping[str, Value]) -> NDArray[np.int64]:
        """One id a context column, int64 [X], 0 where missing or unknown; X is 1 when the recipe declares none."""
        found = [_position(column.values, plain(context.get(column.name))) for column in self.context]
        return np.asarray(found or [UNKNOWN], np.int64)

    def gap_ids(self, gaps: NDArray[np.float64]) -> NDArray[np.int64]:
        """Bucket ids (1…) of time gaps in seconds, 0 for NaN; negative gaps count as none."""
        known = ~np.isnan(gaps)
        buckets = np.searchsorted(self.gap_edges, np.where(known, gaps, 0.0), side="right") + 1
        return np.where(known, buckets, UNKNOWN).astype(np.int64)

    @property
    def attribute_vocabulary(self) -> int:
        """Number of attribute ids, padding included."""
        return 1 + sum(one.size for one in self.attributes)

    @property
    def profile_vocabulary(self) -> int:
        """Number of profile ids, padding included."""
        return 1 + sum(one.size for one in self.profile)

    @property
    def gap_vocabulary(self) -> int:
        """Number of gap bucket ids, the unknown one included."""
        return len(self.gap_edges) + 2


def plain(value: Value | None) -> str | None:
    """A categorical value as the vocabulary spells it: whole numbers without `.0`, booleans in lower case."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if float(value).is_integer() else str(value)


def _position(values: Sequence[str], value: str | None) -> int:
    return values.index(value) + 1 if value is not None and value in values else UNKNOWN


def _ids(specs: Sequence[AttributeSpec], record: Mapping[str, Values], width: int) -> NDArray[np.int32]:
    found = [number for spec in specs for number in _attribute_ids(spec, record.get(spec.name))][:width]
    return np.asarray(found + [UNKNOWN] * (width - len(found)), np.int32)


def _attribute_ids(spec: AttributeSpec, values: Values) -> list[int]:
    if values is None:
        return []
    many = [values] if isinstance(values, str | int | float | bool) else list(values)
    if spec.kind == "numeric":
        return [spec.offset + int(np.searchsorted(spec.edges, float(one), side="right")) for one in many[:1]]
    positions = (_position(spec.values, plain(one)) for one in many)
    return [spec.offset + position - 1 for position in positions if position]
