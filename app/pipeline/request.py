"""What is asked for: one recommendation request as the pipeline reads it, and the checks on it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from index.filters import Wanted
from model.errors import RequestError
from model.features.spec import FeatureSpec, Value

MAX_N = 200


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One event of the session at hand, told with the request and not stored; `timestamp` is epoch seconds."""

    item_id: str
    type: str
    value: float | None = None
    timestamp: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendRequest:
    """One request for items; `include`, `exclude`: attribute name → values or ranges, `now`: epoch seconds or None.

    `task_weights` replaces the bundle's blend: tasks it does not name weigh 0. `diversity` None: the bundle's own.
    `scene` limits the answer to what one of the recipe's scenes shows, `only_items` to some ids (batch); ids that the
    catalogue does not hold are ignored there and in `exclude_items`.
    """

    user_id: str | None = None
    session_id: str | None = None
    n: int = 20
    context: Mapping[str, Value] = field(default_factory=dict)
    history: Sequence[SessionEvent] = ()
    query: str | None = None
    scene: str | None = None
    include: Mapping[str, Wanted] = field(default_factory=dict)
    exclude: Mapping[str, Wanted] = field(default_factory=dict)
    exclude_items: Collection[str] = ()
    only_items: Collection[str] | None = None
    exclude_seen: bool = True
    task_weights: Mapping[str, float] | None = None
    diversity: float | None = None
    explain: bool = False
    timeout_ms: int | None = None
    now: float | None = None

    @property
    def user_key(self) -> str | None:
        """Whose state to read: the user's, else the session's, None for nobody's."""
        if self.user_id is not None:
            return f"u:{self.user_id}"
        return None if self.session_id is None else f"s:{self.session_id}"


def check_request(request: RecommendRequest, spec: FeatureSpec, max_n: int = MAX_N) -> None:
    """Raise RequestError that names the field, the value found and the allowed range."""
    if not 1 <= request.n <= max_n:
        raise RequestError("n", request.n, f"ask for 1 to {max_n} items")
    if request.diversity is not None and not 0 <= request.diversity <= 1:  # NaN fails too
        raise RequestError("diversity", request.diversity, "give a number from 0 to 1")
    if request.timeout_ms is not None and request.timeout_ms < 1:
        raise RequestError("timeout_ms", request.timeout_ms, "give at least 1 millisecond")
    for event in request.history:
        _check_event(event, spec)


def _check_event(event: SessionEvent, spec: FeatureSpec) -> None:
    if event.type not in spec.event_types:
        raise RequestError("history.type", event.type, f"known event types are {', '.join(spec.event_types)}")
    for name, number in (("value", event.value), ("timestamp", event.timestamp)):
        if number is not None and not isfinite(number):
            raise RequestError(f"history.{name}", number, "give a finite number or leave it out")
