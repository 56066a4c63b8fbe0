"""A request as the engine works on it: everything in rows and ids, over one view of the catalogue."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from time import time

import numpy as np
from numpy.typing import NDArray

from app.pipeline.allowed import Allowed, allowed_rows, only_mask
from app.pipeline.blend import blend_weights
from app.pipeline.context import ContextReader
from app.pipeline.request import RecommendRequest, check_request
from app.pipeline.settings import EngineSettings
from app.pipeline.user import People, UserInput
from index.backends import Mask
from index.catalogue import LiveCatalogue
from index.view import View
from model.bundle import Bundle
from model.features.ranking import Moment


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, read: `weights` float64 [T] with sum 1; `context` as the vocabulary spells it."""

    user: UserInput
    request: RecommendRequest
    view: View
    moment: Moment
    allowed: Allowed
    context: Mapping[str, str]
    weights: NDArray[np.float64]

    @property
    def query(self) -> str:
        """The free text to look for, "" for none."""
        return (self.request.query or "").strip()

    @property
    def unmet(self) -> Allowed:
        """What channels may offer: what is allowed and new to the user; what the user had is offered apart."""
        had = np.unique(self.moment.history.rows)
        return self.allowed if self.request.exclude_seen else self.allowed.without(had)

    @property
    def personal(self) -> bool:
        """Whether there is anything to tell this user from another one."""
        return bool(len(self.moment.history) or self.moment.profile.any() or self.query)


class Reader:
    """Reads requests for one bundle and its catalogue."""

    def __init__(self, bundle: Bundle, catalogue: LiveCatalogue, settings: EngineSettings) -> None:
        self._spec, self._catalogue, self._settings = bundle.spec, catalogue, settings
        self.context = ContextReader(bundle.spec, bundle.manifest.recipe)
        self._people = People(bundle, self.context, settings.seen)
        self._weights = blend_weights(bundle.spec.tasks, None)
        self._only: tuple[View, Collection[str], Mask] | None = None

    def read(self, user: UserInput, request: RecommendRequest) -> Asked:
        """The request in rows; raises RequestError for anything that does not exist or lies outside its range."""
        check_request(request, self._spec, self._settings.max_n)
        asked = request.task_weights
        weights = self._weights if asked is None else blend_weights(self._spec.tasks, asked)
        view, now = self._catalogue.view, time() if request.now is None else request.now
        person = self._people.person(view, user, request.history, now, request.context)
        context = self.context.values(request.context, now)
        moment = Moment(person.history, person.profile, self.context.ids(context), now)
        allowed = allowed_rows(view, request, person.seen, self._only_mask(view, request.only_items))
        return Asked(user, request, view, moment, allowed, context, weights)

    def _only_mask(self, view: View, item_ids: Collection[str] | None) -> Mask | None:
        """The mask of `only_items`; a batch asks with the same collection for every user."""
        if item_ids is None:
            return None
        if self._only is None or self._only[0] is not view or self._only[1] is not item_ids:
            self._only = view, item_ids, only_mask(view, item_ids)
        return self._only[2]
