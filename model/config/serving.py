"""`[serving]`: what the bundle tells the service about answering."""

from pydantic import Field

from model.config.tables import Name, Section


class Serving(Section):
    """Defaults of the request path.

    candidates: items the ranker scores a request · blend: task → weight in the score (wins over the tasks' `blend`) ·
    quotas: recall channel → most candidates it may offer · seen: event types after which an item counts as seen
    (empty: all) · timeout_ms: time an answer may take before it falls back (null: none).
    """

    candidates: int = Field(default=300, ge=1, le=5000)
    blend: dict[Name, float] = Field(default_factory=dict)
    quotas: dict[Name, int] = Field(default_factory=dict)
    seen: tuple[Name, ...] = ()
    diversity: float = Field(default=0.0, ge=0, le=1)
    timeout_ms: int | None = Field(default=None, ge=1)
