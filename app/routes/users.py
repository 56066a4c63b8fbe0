"""Users at run time: put, read, merge, many at once; export and erase; who is similar."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.answers import BatchAnswer, ErasedAnswer, ExportAnswer, SimilarUsers, UserAnswer
from app.auth import OPERATORS, READERS
from app.batches import each, elements
from app.live_bundle import LiveBundle
from app.pipeline.user import UserInput
from app.problems import not_found
from app.routes.endpoint import Call, Operation, Reply, reply
from app.routes.items import merged
from app.service import Service
from app.state.store import UserState, user_key
from app.wire import BatchUser, BatchUsers, Nothing, SimilarQuery, UserBody, UserPatch
from model.features.neighbours import Evidence
from model.features.spec import Values
from model.ids import IdMap

EXAMPLE = {"user_id": "42", "profile": {"age": 30, "occupation": "artist"}}
PUT_EXAMPLE = {"a profile": {"profile": {"age": 30, "occupation": "artist"}}}
PATCH_EXAMPLE = {"forget the age": {"profile": {"age": None}}}
BATCH_EXAMPLE = {"two users": {"users": [{"user_id": "a", "profile": {"age": 30}}, {"user_id": "b"}]}}


async def put_user(call: Call[UserBody]) -> Reply:
    """Set a user's profile: what is left out is unknown. A user needs no profile to be recommended to."""
    service, profile = call.service, call.asked.profile
    service.live.check_profile(profile)
    known = await is_known(service, call.id)
    await service.store.put_profile(user_key(call.id), profile)
    return reply({"user_id": call.id, "profile": profile}, 200 if known else 201)


async def get_user(call: Call[Nothing]) -> Reply:
    """The profile as put at run time, else as the live bundle was trained with."""
    state = await call.service.store.read_user(user_key(call.id))
    profile = profile_of(call.service.live, call.id, state)
    if profile is None and not state.known:
        raise not_found("user_id", call.id)
    return reply({"user_id": call.id, "profile": dict(profile or {})})


async def patch_user(call: Call[UserPatch]) -> Reply:
    """Merge into the profile: what is left out stays, null removes."""
    service, changes = call.service, call.asked.profile
    service.live.check_profile(changes)
    key = user_key(call.id)
    after = await service.store.patch_profile(key, changes)
    if after is None:  # nothing put yet: the bundle's own profile is what is changed
        state = await service.store.read_user(key)
        before = profile_of(service.live, call.id, state)
        if before is None and not state.known:
            raise not_found("user_id", call.id)
        after = merged(before or {}, changes)
        await service.store.put_profile(key, after)
    return reply({"user_id": call.id, "profile": dict(after)})


async def put_users(call: Call[BatchUsers]) -> Reply:
    """Put many profiles; each stands alone."""
    service = call.service
    found = elements(call.body, "users", service.settings.max_batch)
    users, rejected = each(found, BatchUser, lambda one: _checked(service.live, one))
    created = 0
    for user_id, profile in users:
        created += not await is_known(service, user_id)
        await service.store.put_profile(user_key(user_id), profile)
    return reply({"created": created, "updated": len(users) - created, "rejected": rejected})


def _checked(live: LiveBundle, asked: BatchUser) -> tuple[str, Mapping[str, Values]]:
    live.check_profile(asked.profile)
    return asked.user_id, asked.profile


async def is_known(service: Service, user_id: str) -> bool:
    """Whether anything is known of a user, here or in the live bundle."""
    state = await service.store.read_user(user_key(user_id))
    return state.known or profile_of(service.live, user_id, state) is not None


def profile_of(live: LiveBundle, user_id: str, state: UserState) -> Mapping[str, Values] | None:
    """The profile put at run time, else the bundle's unless the user was erased; None when neither knows the user."""
    if state.profile is not None:
        return state.profile
    return None if state.erased else live.profile(user_id)


async def similar_users(call: Call[SimilarQuery]) -> Reply:
    """Users of the training data who are like this one now; 404 for a user of whom nothing is known."""
    with call.service.live.in_use() as live:
        found = await _nearest(call.service, live, call.id, call.asked.n)
    pairs = zip(found.rows.tolist(), np.asarray(found.scores, np.float64).tolist(), strict=True)
    names = live.bundle.users
    return reply({"users": [{"user_id": names.id(row), "score": score} for row, score in pairs]})


async def _nearest(service: Service, live: LiveBundle, user_id: str, n: int) -> Evidence:
    state = await service.store.read_user(user_key(user_id))
    if profile_of(live, user_id, state) is None and not state.known:
        raise not_found("user_id", user_id)
    vector = await live.recommender.user_vector(UserInput(user_id, state))
    allowed = others(live.bundle.users, user_id, await service.store.erased())
    return await service.on_work_thread(live.users.similar, vector, n, allowed)


def others(users: IdMap, user_id: str, erased: Iterable[str]) -> NDArray[np.bool_]:
    """Which users of the bundle may be named: not the one asked about, and none who was erased; bool [users]."""
    gone = [users.row(key.removeprefix("u:")) for key in (user_key(user_id), *erased) if key.startswith("u:")]
    mask = np.ones(len(users), np.bool_)
    mask[[row for row in gone if row >= 0]] = False
    return mask


async def export_user(call: Call[Nothing]) -> Reply:
    """Everything that is kept of a user: the profile and every accepted event."""
    service, key = call.service, user_key(call.id)
    found = await service.store.export_user(key)
    state = await service.store.read_user(key)
    profile = profile_of(service.live, call.id, state)
    if found is None and profile is None:
        raise not_found("user_id", call.id)
    events = [event_shape(asdict(one)) for one in (found.events if found else ())]
    return reply({"user_id": call.id, "profile": None if profile is None else dict(profile), "events": events})


def event_shape(event: dict[str, Any]) -> dict[str, Any]:
    """An event in the words of /feedback, without what it did not have."""
    shape = {"user_id" if name == "user" else name: value for name, value in event.items() if name != "target"}
    return {name: value for name, value in shape.items() if value is not None and value != {}}


async def erase_user(call: Call[Nothing]) -> Reply:
    """Erase all that is held of a user, and mask what the bundle was trained with; the receipt counts both."""
    service, live = call.service, call.service.live
    erased = await service.store.erase_user(user_key(call.id))
    row = live.bundle.users.row(call.id)
    masked = 0 if row < 0 else len(live.bundle.user_history(row))
    return reply({"user_id": call.id, "state": erased, "bundle": {"masked_events": masked}})


USER, USERS = "/users/{user_id}", "/users:batch"
OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        "GET",
        f"{USER}/similar",
        similar_users,
        SimilarQuery,
        SimilarUsers,
        READERS,
        "Users similar to one",
        example={"users": [{"user_id": "7", "score": 0.91}]},
    ),
    Operation(
        "GET", f"{USER}/export", export_user, Nothing, ExportAnswer, OPERATORS, "Export all that is kept of a user"
    ),
    Operation(
        "PUT",
        USER,
        put_user,
        UserBody,
        UserAnswer,
        OPERATORS,
        "Set a profile (201 new, 200 known)",
        examples=PUT_EXAMPLE,
        example=EXAMPLE,
    ),
    Operation("GET", USER, get_user, Nothing, UserAnswer, OPERATORS, "Read a profile", example=EXAMPLE),
    Operation(
        "PATCH",
        USER,
        patch_user,
        UserPatch,
        UserAnswer,
        OPERATORS,
        "Change a profile",
        examples=PATCH_EXAMPLE,
        example=EXAMPLE,
    ),
    Operation("DELETE", USER, erase_user, Nothing, ErasedAnswer, OPERATORS, "Erase a user"),
    Operation(
        "POST",
        USERS,
        put_users,
        BatchUsers,
        BatchAnswer,
        OPERATORS,
        "Set many profiles",
        raw=True,
        body=BatchUsers | list[BatchUser],
        examples=BATCH_EXAMPLE,
    ),
)
