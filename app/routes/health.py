"""Is the process alive, may it be asked, and what does it measure."""

from typing import Any

import orjson

from app import metrics
from app.answers import HealthAnswer, ReadyAnswer
from app.auth import LOOKERS
from app.problems import RETRY_AFTER_S
from app.routes.endpoint import Call, Operation, Reply, reply
from app.wire import Nothing

READY = {"status": "ready", "bundle": "20261124-1612-3f9a", "state": "ok", "detail": ""}


async def healthz(_: Call[Nothing]) -> Reply:
    """The process lives and its event loop turns."""
    return reply({"status": "ok"})


async def readyz(call: Call[Nothing]) -> Reply:
    """200 when requests are answered, with the state away too (`degraded`, from fallbacks); 503 while starting."""
    service = call.service
    away = service.state_error
    live = service.loaded
    status = ("degraded" if away else "ready") if service.ready else "starting"
    shape = {
        "status": status,
        "bundle": None if live is None else live.version,
        "state": "away" if away else "ok",
        "detail": away or "",
    }
    headers = {} if service.ready else {"Retry-After": str(RETRY_AFTER_S)}
    return Reply(orjson.dumps(shape), 200 if service.ready else 503, headers=headers)


async def prometheus(call: Call[Nothing]) -> Reply:
    """Measurements in Prometheus' text format, of all workers."""
    service = call.service
    if service.loaded is not None:
        service.metrics.items.set(int(service.loaded.catalogue.visible.sum()))
    return Reply(service.metrics.text(), media_type=metrics.MEDIA_TYPE.encode())


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation("GET", "/healthz", healthz, Nothing, HealthAnswer, None, "Does the process live?", raw=True),
    Operation("GET", "/readyz", readyz, Nothing, ReadyAnswer, None, "Does it answer?", raw=True, example=READY),
    Operation("GET", "/metrics", prometheus, Nothing, None, LOOKERS, "Measurements", raw=True),
)
