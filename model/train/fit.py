"""The whole of learning, readable top to bottom: channels, towers, ranker, calibration, then what validated too."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from model.config import Recipe, Training
from model.data.log import Dataset, Log
from model.data.spec import build_spec, context_table
from model.features.calibration import Calibration, Identity
from model.features.contexts import Contexts
from model.features.counters import ItemCounters
from model.features.neighbours import Neighbours
from model.features.ranking import ArrayItems
from model.features.spec import FeatureSpec
from model.nn.graph import sampled_neighbours
from model.nn.model import MultiTaskModel
from model.nn.settings import NetSettings
from model.train.arrays import Features, known_ids, make_features
from model.train.batches import item_vectors
from model.train.calibrate import calibrated
from model.train.content import settle
from model.train.counting import count
from model.train.distill import Taught
from model.train.guises import newcomers
from model.train.lessons import Asked, Lessons, asked_rows, renumbered
from model.train.moments import Moments
from model.train.plan import Plan, make_plan
from model.train.rank import Objective, fit_ranker, flattened, readings
from model.train.record import Record
from model.train.search import Search
from model.train.side import side_losses
from model.train.slates import JUDGED, POSITIVE, Slates
from model.train.start import move, start
from model.train.tables import TableMaker
from model.train.teach import teach
from model.train.tower import TowerData, Watched, fit_towers, start_loudness
from model.train.twins import Twins, fit_twins

GRAPH_NEIGHBOURS = 16
VALID_SLATES = 1500
AGAIN = 0.5  # of the epochs that were best, when towers go on with more events and nothing validates


@dataclass(frozen=True, slots=True)
class Fitted:
    """Everything a bundle is made of: nets, spec, arrays, tables and counters, calibration, and the log they know."""

    model: MultiTaskModel
    spec: FeatureSpec
    features: Features
    tables: Mapping[str, Neighbours]
    counters: ItemCounters
    calibration: Mapping[str, Calibration]
    known: Log
    temporal: bool
    twins: Twins | None = None

    @property
    def items(self) -> ArrayItems:
        """Vectors and attributes of the catalogue."""
        return ArrayItems(item_vectors(self.model, self.features), self.features.attributes)


def fit(recipe: Recipe, dataset: Dataset, text: NDArray[np.float32], record: Record) -> Fitted:
    """Learn everything a recipe declares from the training part, stop and tune on the validation part.

    text float32 [N, text_dim] are the items' text vectors as the service makes them. With `training.refit` the result
    knows both parts. Raises TrainingError where learning degenerates.
    """
    learner = Learner(recipe, dataset, text, record)
    learner.fit_channels()
    learner.fit_towers()
    learner.fit_ranker()
    calibration = learner.calibrate()
    if recipe.training.refit:
        learner.refit()
    return learner.fitted(calibration)


@dataclass(frozen=True, slots=True)
class Towers:
    """What the towers were at one time: their weights, and the features whose ids they know."""

    state: Mapping[str, torch.Tensor]
    features: Features

    @classmethod
    def of(cls, model: MultiTaskModel, features: Features) -> "Towers":
        """A copy of them as they are now, without the ranker."""
        state = {name: one.clone() for name, one in model.state_dict().items() if not name.startswith("ranker.")}
        return cls(state, features)


@dataclass(frozen=True, slots=True)
class Course:
    """How a ranker was taught: the state it began with, its lessons with the vectors that they name, and how long."""

    begin: Mapping[str, torch.Tensor]
    parts: Sequence[Slates]
    vectors: NDArray[np.float32]
    taught: Taught | None
    epochs: int


class Learner:
    """The stages of one fit and what they hand on to each other."""

    def __init__(self, recipe: Recipe, dataset: Dataset, text: NDArray[np.float32], record: Record) -> None:
        settings, (recipe, dataset) = recipe.training, used(recipe, dataset)
        torch.manual_seed(settings.seed)
        self.recipe, self.dataset, self.settings, self.record = recipe, dataset, settings, record
        self.generator, self.users = np.random.default_rng(settings.seed), len(dataset.users)
        self.plan: Plan = make_plan(dataset.log)
        self.spec = build_spec(recipe, dataset, text_dim=text.shape[1])
        self.features = make_features(self.spec, dataset, text, self.plan.log.take(self.plan.base))
        self.bare = newcomers(self.features, self.generator)
        self.context = context_table(self.spec, dataset, self.plan.log)
        self.maker = TableMaker(settings, dataset, self.features)
        self.model = make_model(self.spec, dataset, settings, self.generator)
        self.side = side_losses(recipe, dataset)
        self.objective = Objective(self.spec, recipe.pair_tasks)
        self.twins: Twins | None = None
        self.asked = asked_rows(self.spec, dataset, self.plan)
        self.base, self.again = Towers.of(self.model, self.features), 0  # after the base; epochs when they go on

    @property
    def moments(self) -> Moments:
        """The log as moments, under the spec of now."""
        return Moments(self.spec, self.plan.log, self.users, self.plan.temporal, contexts=self.context)

    @property
    def valid(self) -> NDArray[np.int64]:
        """A sample of the validation rows, in time order."""
        rows = np.flatnonzero(self.plan.valid)
        return np.sort(self.generator.permutation(rows)[:VALID_SLATES])

    def fit_channels(self) -> None:
        """Choose how each channel reads a history, on the validation part."""
        log = self.plan.grouped(self.plan.train, self.users)
        channels, figures = self.maker.tune(self.spec, log, self.moments, self.valid)
        self.spec = self.spec.model_copy(update={"channels": channels})
        self.record.figures["channels"] = figures
        self.record.stage("channels")

    def tower_data(self, known: NDArray[np.bool_]) -> TowerData:
        """What the towers learn from when they may know the rows `known`."""
        log, context = self.plan.log.take(known), self.context[known]
        moments = Moments(self.spec, log, self.users, self.plan.temporal, contexts=context)
        return TowerData(moments, context, self.features)

    def watched(self, among: NDArray[np.bool_]) -> Watched:
        """Rows (bool [n]) that towers are judged by."""
        return Watched(self.moments, self.context, np.flatnonzero(among))

    def fit_towers(self) -> None:
        """Stage 1 on the base."""
        log = self.plan.grouped(self.plan.base, self.users)
        start(self.model, self.features, self.bare, log, self.dataset.graph, self.generator)
        data, settings = self.tower_data(self.plan.base), self.settings
        held, watched = self.watched(self.plan.taught), self.watched(self.plan.valid)
        self.record.figures["loudness"] = {"start": start_loudness(self.model, self.features, held, self.generator)}
        kept = fit_towers(
            self.model, data, settings, self.side, watched, self.generator, settings.epochs, settings.learning_rate,
            self.record.epoch,
        )  # fmt: skip
        self.settle(self.plan.base)
        self.base, self.again = Towers.of(self.model, self.features), math.ceil(kept * AGAIN)
        self.record.stage("towers")

    def go_on(
        self,
        known: NDArray[np.bool_],
        record: Callable[[int, dict[str, float]], None],
        watched: Watched | None = None,
    ) -> None:
        """Let the towers of the base learn from the rows `known`, in the space that they speak in already.

        With `watched` for as many epochs as are best for those rows, and from then on always for so many.

        They start from the base each time, never from what went on before: the ranker has learned from towers that
        went on once, and those that do so twice know cold items worse (docs/quality.md, P3).
        """
        self.model.load_state_dict(self.base.state, strict=False)
        self.features = replace(self.base.features, id_index=known_ids(len(self.features), self.plan.log.take(known)))
        move(self.model, self.features, *(self.plan.grouped(rows, self.users) for rows in (self.plan.base, known)))
        self.again = fit_towers(
            self.model, self.tower_data(known), self.settings, self.side, watched, self.generator,
            self.settings.epochs if watched else self.again, self.settings.learning_rate, record,
        )  # fmt: skip
        self.settle(known)

    def settle(self, known: NDArray[np.bool_]) -> None:
        """Solve once more for what content says, now of the vectors that the towers have learned from rows `known`."""
        events = np.bincount(self.plan.log.item[known], minlength=len(self.features))
        vectors = item_vectors(self.model, self.features)
        self.unseen = settle(self.model, self.features, self.bare, vectors, events, self.generator)
        self.record.figures["content"] = self.unseen.figures

    def fit_ranker(self) -> None:
        """Stage 2 on the events that the base does not hold, and on all that users judged themselves."""
        parts, vectors = self.slates()
        self.record.stage("slates")
        if self.settings.weighting == "search":
            self.search(parts, vectors)
        args, taught = (self.objective, parts, self.validating, vectors, self.settings), self.taught(parts)
        begin = copy.deepcopy(self.model.ranker.state_dict())
        best = fit_ranker(self.model, *args, self.generator, self.record.epoch, taught)
        self.course = Course(begin, parts, vectors, taught, best)
        given = [readings(self.model, part, vectors) for part in self.validating]
        self.judgements = flattened(self.objective, self.validating, given)
        self.record.stage("ranker")
        if self.settings.twins:
            self.twins = fit_twins(self.model, *args, self.record.epoch)
            self.record.stage("twins")

    def slates(self) -> tuple[list[Slates], NDArray[np.float32]]:
        """What the ranker learns from, and the vectors float32 [n, D] that its slates and those that validate name.

        Where the split is by user, lists are made by towers that know, as in service, all but what the list asks for:
        a fold's users' by towers that know the others' newest events too, those that validate and games of items
        played cold by towers that know the whole training part. Where it is by time, the base is all there is before.
        """
        base = self.lessons()
        judged, rows, costly = base.judgements(), base.rows(), base.costly()
        if self.plan.temporal or not self.objective.lists:
            found = [*base.lists(0, rows, costly), *judged, *base.games()]
            self.validating = base.valid(self.valid)
            return [part for part in found if len(part)], base.items.vector
        self.go_on(self.plan.train, unwatched, self.watched(self.plan.valid) if self.plan.valid.any() else None)
        self.record.figures["towers"] = {"epochs when they go on": float(self.again)}
        lessons, begins = self.lessons(), len(base.items.vector)
        games = [renumbered(part, begins) for part in lessons.games()]
        self.validating = [renumbered(part, begins) for part in lessons.valid(self.valid)]
        lists, vectors = [], [base.items.vector, lessons.items.vector]
        for fold in range(self.plan.folds):
            self.go_on(self.plan.known(fold), unwatched)
            lessons, begins = self.lessons(), sum(map(len, vectors))
            vectors.append(lessons.items.vector)
            lists += [renumbered(part, begins) for part in lessons.lists(fold, rows, costly) if len(part)]
        found = [*([Slates.concatenate(lists)] if lists else []), *judged, *games]
        return [part for part in found if len(part)], np.concatenate(vectors)

    def lessons(self) -> Lessons:
        """What makes the ranker's slates, of what towers and channels say now."""
        vectors = [item_vectors(self.model, self.features), self.unseen.bare, self.unseen.nameless]
        attributes = [self.features.attributes, self.bare.attributes, self.features.attributes]
        items = ArrayItems(np.concatenate(vectors), np.concatenate(attributes))
        events = Asked(self.moments, self.context, *self.plan.parts)
        return Lessons(
            self.spec, self.settings, self.plan, events, self.asked, self.objective, self.maker, self.model,
            self.features, items, self.recipe.serving.candidates, self.generator,
        )  # fmt: skip

    def search(self, parts: Sequence[Slates], vectors: NDArray[np.float32]) -> None:
        """Weights of the tasks (and settings of the ranker) by trials; from here on they are fixed."""
        found = Search(self.model, self.objective, parts, self.validating, vectors, self.settings).run()
        self.objective, self.settings = replace(self.objective, tasks=found.tasks), found.settings
        self.record.figures["search"] = found.figures
        self.record.stage("search")

    def taught(self, parts: Sequence[Slates]) -> Taught | None:
        """What a teacher says of the slates, where `distill` asks for one."""
        if not self.settings.distill:
            return None
        found = teach(self.recipe, self.dataset, self.objective, parts, self.model.settings, self.generator)
        self.record.stage("teacher")
        return found

    def calibrate(self) -> dict[str, Calibration]:
        """A calibration a task, from what the ranker says of the validation slates."""
        labels, said = self.judgements
        roles = np.concatenate([part.role.ravel() for part in self.validating])
        found: dict[str, Calibration] = {}
        for place, task in enumerate(self.spec.tasks):
            truth = labels[:, place]
            if task.kind == "next_item":
                truth = np.where((roles > 0) & (roles != JUDGED), roles == POSITIVE, np.nan).astype(np.float32)
            found[task.name] = (
                Identity() if task.kind in ("regression", "ordinal") else calibrated(said[:, place], truth)
            )
        return found

    def refit(self) -> None:
        """Where the log is split by time, teach the ranker again with the rows that validated too; else let the towers
        go on with everything.

        By time, towers and tables of the past made the ranker's lists, as they do in service for what has come since:
        the towers stay those that it has learned from, since it reads ones that went on worse (docs/quality.md, P2).
        By user, towers and tables that made a list of the newest events would have seen what it asks for.
        """
        if self.plan.temporal:
            self.teach_again()
        else:
            self.go_on(np.ones(len(self.plan.log), bool), self.record.refit_epoch)
            self.maker.renew(self.features)
        self.record.stage("refit")

    def teach_again(self) -> None:
        """The ranker once more from its start, with the rows that validated, for as many epochs as were best."""
        course, more = self.course, [part for part in self.lessons().newest() if len(part)]
        if not more:
            return
        self.model.ranker.load_state_dict(course.begin)
        fit_ranker(
            self.model, self.objective, [*course.parts, *more], [], course.vectors, self.settings, self.generator,
            self.record.refit_epoch, course.taught, course.epochs,
        )  # fmt: skip

    def fitted(self, calibration: Mapping[str, Calibration]) -> Fitted:
        """Everything as the bundle will hold it."""
        known = np.ones(len(self.plan.log), bool) if self.settings.refit else self.plan.train
        log = self.plan.log.take(known)
        counters = count(self.spec, len(self.features), log)
        counters.contexts = Contexts.of(self.spec, self.features.attributes, log.item, self.context[known])
        tables = self.maker.make(self.spec, log.by_user(self.users))
        return Fitted(
            self.model, self.spec, self.features, tables, counters, calibration, log, self.plan.temporal,
            self.twins,
        )  # fmt: skip


def unwatched(epoch: int, figures: dict[str, float]) -> None:
    """What is recorded of towers that only make slates: nothing."""


def used(recipe: Recipe, dataset: Dataset) -> tuple[Recipe, Dataset]:
    """What learning sees when parts are switched off: no graph, no side task that would teach a part all the same."""
    settings = recipe.training
    off = {"item_attributes": settings.attributes, "graph_links": settings.graph}
    tasks = tuple(task for task in recipe.tasks if off.get(task.kind, True))
    kept = dataset if settings.graph else replace(dataset, graph=None)
    return recipe.model_copy(update={"tasks": tasks}), kept


def make_model(
    spec: FeatureSpec, dataset: Dataset, settings: Training, generator: np.random.Generator
) -> MultiTaskModel:
    """The networks of a data set, untrained, with the graph's neighbours drawn."""
    graph = dataset.graph
    entities, relations = (0, 0) if graph is None else (len(graph.entities), len(graph.relations))
    shared = {name: value for name, value in settings.model_dump().items() if name in NetSettings.model_fields}
    model = MultiTaskModel(spec, len(dataset.items), entities, relations, NetSettings.model_validate(shared))
    if graph is not None:
        model.graph_encoder.set_neighbours(
            *sampled_neighbours(graph.triples, entities, relations, GRAPH_NEIGHBOURS, generator)
        )
    return model
