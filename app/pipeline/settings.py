"""What one bundle's recipe says about answering."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from app.pipeline.request import MAX_N
from model.bundle import Bundle
from model.config import Serving


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Sizes of the request path.

    candidates: rows the ranker scores · quotas: channel → most rows it may add (default: its whole list) · seen: event
    types that make an item seen (empty: all) · popular, fresh, query: lengths of those channels' lists · diversity: for
    requests that name none · timeout_ms: the bundle's own deadline (None: the service's) · max_n: longest list ·
    together: most requests that are ranked together (1: each alone), for which the first waits wait_ms at most (0: it
    takes who waits already).
    """

    candidates: int = 300
    quotas: Mapping[str, int] = field(default_factory=dict)
    seen: tuple[str, ...] = ()
    popular: int = 100
    fresh: int = 50
    query: int = 2 * MAX_N
    diversity: float = 0.0
    timeout_ms: int | None = None
    max_n: int = MAX_N
    device: str = "cpu"
    together: int = 16
    wait_ms: float = 0.0

    @classmethod
    def of_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """What the `[serving]` table of the bundle's recipe says, else the defaults."""
        told = Serving.model_validate(bundle.manifest.recipe.get("serving") or {})
        return cls(
            candidates=told.candidates,
            quotas=told.quotas,
            seen=told.seen,
            diversity=told.diversity,
            timeout_ms=told.timeout_ms,
            device=device,
        )
