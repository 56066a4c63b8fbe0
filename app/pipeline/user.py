"""Who is asking: the bundle's training history, the state's newer events and this session, as one history in rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.pipeline.context import ContextReader
from app.pipeline.request import SessionEvent
from app.state.packing import pack_context
from app.state.store import PastEvent, UserState
from index.view import View
from model.bundle import Bundle
from model.events import History
from model.features.spec import UNKNOWN, Value
from model.ids import NO_ROW

NOTHING = History.of()
NO_CONTEXT: Mapping[str, Value] = {}


@dataclass(frozen=True, slots=True)
class UserInput:
    """What is known of the asking user before the request is read.

    `away`: the state could not be read, so nothing personal of the bundle is used either (the user may have been
    erased). `given`: a batch's own history of the user, in place of the bundle's and the state's. `kept`: whether the
    state's vector is of the bundle that answers.
    """

    user_id: str | None = None
    state: UserState = field(default_factory=UserState)
    away: bool = False
    given: History | None = None
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Person:
    """A user in row space: history oldest first, rows already seen (int64, sorted), profile ids int32 [P]."""

    history: History
    seen: NDArray[np.int64]
    profile: NDArray[np.int32]


class People:
    """Turns a UserInput into a Person, with one bundle's ids; `seen_types` are type ids that make an item seen."""

    def __init__(self, bundle: Bundle, contexts: ContextReader, seen_types: Sequence[str] = ()) -> None:
        self._bundle, self._contexts = bundle, contexts
        self._told = bundle.spec.own_contexts
        self._types = {name: place + 1 for place, name in enumerate(bundle.spec.event_types)}
        self._seen_types = np.asarray([self._types[name] for name in seen_types if name in self._types], np.int64)

    def person(
        self,
        view: View,
        user: UserInput,
        session: Sequence[SessionEvent],
        now: float,
        context: Mapping[str, Value] = NO_CONTEXT,
    ) -> Person:
        """The user at `now` (epoch seconds), also given this session's events, in the request's own `context`."""
        row = self._bundle_row(user)
        trained = NOTHING if row == NO_ROW or user.given is not None else self._bundle.user_history(row)
        told = self.history(view, session, now, pack_context(context) if session else "")
        known = NOTHING if user.away else self._known(view, user, trained, now)
        seen = [self._seen(part) for part in (trained, known, told)]
        if not len(self._seen_types) and user.state.seen:
            also = view.rows(user.state.seen)
            seen.append(also[also != NO_ROW])
        return Person(known.then(told) if len(told) else known, _each_once(seen), self._profile(row, user))

    def history(self, view: View, events: Sequence[PastEvent | SessionEvent], now: float, packed: str = "") -> History:
        """Events by name as a history in rows, without those of unknown items or types; untimed ones happened now.

        `packed`: the context of those that tell none of their own, a session's.
        """
        if not events:
            return NOTHING
        rows = view.rows([one.item_id for one in events])
        types = np.asarray([self._types.get(one.type, UNKNOWN) for one in events], np.int64)
        values = np.asarray([np.nan if one.value is None else one.value for one in events], np.float32)
        times = np.asarray([now if one.timestamp is None else one.timestamp for one in events], np.float64)
        told = [one.context if isinstance(one, PastEvent) else packed for one in events] if self._told else []
        contexts = self._contexts.ids_of(told, times) if told else np.zeros((len(events), 0), np.int64)
        history = History(rows, types, values, times, contexts)
        known = rows.min() != NO_ROW and types.min() != UNKNOWN  # the usual case
        return history if known else history.at((rows != NO_ROW) & (types != UNKNOWN))

    def _known(self, view: View, user: UserInput, trained: History, now: float) -> History:
        """What is stored of the user."""
        if user.given is not None:
            return user.given
        return joined(trained, self.history(view, user.state.events, now))

    def _bundle_row(self, user: UserInput) -> int:
        """The user's row in the bundle, NO_ROW when it has none or must not be used any more."""
        if user.user_id is None or user.state.erased:
            return NO_ROW
        return self._bundle.users.row(user.user_id)

    def _seen(self, history: History) -> NDArray[np.int64]:
        return history.rows[np.isin(history.types, self._seen_types)] if len(self._seen_types) else history.rows

    def _profile(self, row: int, user: UserInput) -> NDArray[np.int32]:
        """The profile put at run time, else the bundle's: a PUT replaces, what it leaves out is unknown."""
        if user.state.profile is not None or row == NO_ROW or user.away:
            return self._bundle.spec.profile_ids(user.state.profile or {})
        profile: NDArray[np.int32] = self._bundle.array("user_features/profile.npy")[row]
        return profile


def joined(trained: History, newer: History) -> History:
    """The bundle's history with the state's events; what both hold (same item, type and time) counts once."""
    if not len(trained) or not len(newer):
        return newer if len(newer) else trained
    last = trained.times[-1]
    if np.isnan(last) or newer.times[0] > last:  # the usual case: everything in the state came after training
        return trained.then(newer)
    known = set(zip(trained.rows.tolist(), trained.types.tolist(), trained.times.tolist(), strict=True))
    keys = zip(newer.rows.tolist(), newer.types.tolist(), newer.times.tolist(), strict=True)
    fresh = np.asarray([key not in known for key in keys])
    return in_order(trained.then(newer.at(fresh)))


def in_order(history: History) -> History:
    """A history put in order of time, ties as they stand."""
    order = np.argsort(history.times, kind="stable")
    return history.at(order)


def before(history: History, now: float) -> History:
    """What of a history lies strictly before `now`; all of it when either has no time."""
    if np.isnan(now):
        return history
    early = ~(history.times >= now)
    return history if early.all() else history.at(early)


def _each_once(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """np.unique of a few rows, at a third of its time."""
    rows = np.sort(np.concatenate(parts))
    new = np.ones(len(rows), np.bool_)
    np.not_equal(rows[1:], rows[:-1], out=new[1:])
    return rows[new]
