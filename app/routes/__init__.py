"""Every operation of the HTTP surface, the busiest first."""

from typing import Any

from app.routes import bundles, feedback, health, items, recommend, users
from app.routes.endpoint import Operation

OPERATIONS: tuple[Operation[Any], ...] = (
    *recommend.OPERATIONS,
    *feedback.OPERATIONS,
    *health.OPERATIONS,
    *items.OPERATIONS,
    *users.OPERATIONS,
    *bundles.OPERATIONS,
)
