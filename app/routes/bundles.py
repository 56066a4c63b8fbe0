"""Bundles: which there are, and which one is live."""

from typing import Any

from app.answers import ActivatedAnswer, BundlesAnswer
from app.auth import LOOKERS, OPERATORS
from app.bundles import list_bundles
from app.routes.endpoint import Call, Operation, Reply, reply
from app.wire import Nothing

EXAMPLE = {
    "active": "20261124-1612-3f9a",
    "bundles": [
        {"version": "20261124-1612-3f9a", "created": "2026-11-24T16:12:07Z", "sealed": True, "active": True},
        {"version": "20261123-0915-81c0", "created": "2026-11-23T09:15:44Z", "sealed": True, "active": False},
    ],
}


async def get_bundles(call: Call[Nothing]) -> Reply:
    """Bundles of the bundles folder, newest first, and which one is live."""
    service, active = call.service, call.service.live.version
    found = await service.on_work_thread(list_bundles, service.settings.bundles)
    shapes = [
        {"version": one.version, "created": one.created, "sealed": one.sealed, "active": one.version == active}
        for one in found
    ]
    return reply({"active": active, "bundles": shapes})


async def activate_bundle(call: Call[Nothing]) -> Reply:
    """Make a bundle the live one, everywhere within a second; one that does not verify changes nothing."""
    previous = await call.service.activate(call.id)
    return reply({"active": call.id, "previous": previous})


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation("GET", "/bundles", get_bundles, Nothing, BundlesAnswer, LOOKERS, "List bundles", example=EXAMPLE),
    Operation(
        "POST",
        "/bundles/{version}/activate",
        activate_bundle,
        Nothing,
        ActivatedAnswer,
        OPERATORS,
        "Make a bundle the live one",
        example={"active": "20261124-1612-3f9a", "previous": "20261123-0915-81c0"},
    ),
)
