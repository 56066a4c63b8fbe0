"""What the ranker learns from and is validated on: lists, and rows on which a user's own judgement is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.config import Training
from model.data.log import TRAIN, VALID, Dataset, Log
from model.data.spec import context_table
from model.features.contexts import Contexts
from model.features.neighbours import Neighbours
from model.features.ranking import ArrayItems
from model.features.spec import FeatureSpec
from model.nn.model import MultiTaskModel
from model.train.arrays import Features
from model.train.batches import user_vectors
from model.train.counting import count
from model.train.moments import PAD, Moments
from model.train.plan import Plan
from model.train.rank import Objective
from model.train.slates import Draw, Knowledge, SlateBuilder, Slates, firsts, moment_groups
from model.train.tables import TableMaker

GAMES, COLD_SHARE = 8, 0.1  # times that items are played cold, and the share of them each time
WANTED = 10  # most positives of a list of items played cold
LEAST = 0.25  # of the lists stand for items that are known, whatever the validation part asks for


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows that carry labels and are no events (impressions, pairs that were asked about), by what they may teach.

    `moments` are the rows, read against the log of events · context int64 [n, X] · base, taught, valid bool [n], as
    the plan has them for events.
    """

    moments: Moments
    context: NDArray[np.int64]
    base: NDArray[np.bool_]
    taught: NDArray[np.bool_]
    valid: NDArray[np.bool_]


def asked_rows(spec: FeatureSpec, dataset: Dataset, plan: Plan) -> Asked:
    """The impressions of the train and valid part; those of before the taught events are base."""
    log = dataset.impressions.part(TRAIN, VALID)
    contexts = context_table(spec, dataset, plan.log)
    moments = Moments(spec, plan.log, len(dataset.users), plan.temporal, log, contexts)
    valid = log.split == VALID
    early = is_early(plan, log, moments) & ~valid
    return Asked(moments, context_table(spec, dataset, log), early, ~valid & ~early, valid)


def is_early(plan: Plan, log: Log, moments: Moments) -> NDArray[np.bool_]:
    """Which rows of `log` lie before the events that are taught: in time, or before the last base event of the user."""
    known = np.bincount(plan.log.user[plan.base], minlength=int(log.user.max(initial=-1)) + 1)
    begins = float(plan.log.time[plan.taught].min(initial=np.inf))
    early: NDArray[np.bool_] = log.time < begins if plan.temporal else moments.place < known[log.user]
    return early


def labelled(log: Log, tasks: Sequence[int]) -> NDArray[np.bool_]:
    """Which rows carry a label of any of some tasks (columns), bool [n]."""
    some: NDArray[np.bool_] = np.logical_or.reduce(~np.isnan(log.labels[:, list(tasks)]), axis=1)
    return some


def silenced(slates: Slates, tasks: Sequence[int]) -> Slates:
    """Slates without the labels of some tasks (columns)."""
    labels = slates.labels.copy()
    labels[..., list(tasks)] = np.nan
    return replace(slates, labels=labels)


def shifted(slates: Slates, by: int) -> Slates:
    """Slates whose candidates are read `by` rows further on, where the items lie under another guise."""
    return replace(slates, candidates=np.where(slates.candidates == PAD, PAD, slates.candidates + by))


def renumbered(slates: Slates, by: int) -> Slates:
    """Slates whose items, candidates and those of the histories, are read `by` rows further on."""
    return shifted(slates, by).replaced(rows=np.where(slates.rows == PAD, PAD, slates.rows + by))


@dataclass(frozen=True, slots=True)
class Lessons:
    """What makes slates of a log, with the towers, tables and counters of one moment of learning.

    `events` are the log's rows, `asked` rows that are none · `items` hold every item as it is, as it would be if it
    were put at run time, and as it would be without its id (3 N rows) · `served`: candidates of a list in service.
    """

    spec: FeatureSpec
    settings: Training
    plan: Plan
    events: Asked
    asked: Asked
    objective: Objective
    maker: TableMaker
    model: MultiTaskModel
    features: Features
    items: ArrayItems
    served: int
    generator: np.random.Generator

    def games(self) -> list[Slates]:
        """Lists of items played cold: as many beside the others as ids are hidden from the towers, or as the validation
        part asks for items without events, whichever is more."""
        lists = min(int(self.plan.taught.sum()), self.settings.ranker_examples) if self.objective.lists else 0
        share = max(self.settings.item_dropout, self.new_share())
        return self.cold(round(lists * share)) if lists else []

    def new_share(self) -> float:
        """Share of the validation part whose items have no event in the training part, 0 where the log is split by
        time: there lists are made in the order of time, with items as new as they were then."""
        asked = self.plan.log.item[self.plan.valid]
        return 0.0 if self.plan.temporal or not len(asked) else float(self.unmet()[asked].mean())

    def unmet(self) -> NDArray[np.bool_]:
        """Which items have no event in the training part, bool [N]."""
        found: NDArray[np.bool_] = np.bincount(self.plan.log.item[self.plan.train], minlength=len(self.features)) == 0
        return found

    def valid(self, rows: NDArray[np.int64]) -> list[Slates]:
        """What stops and calibrates the ranker: lists around some validation rows as served, and what users judged."""
        tasks, train = range(len(self.objective.tasks)), self.plan.train
        found = [self.judged(self.asked, self.asked.valid, tasks, train)]
        if not self.objective.lists:
            return [part for part in [self.judged(self.events, self.events.valid, tasks, train), *found] if len(part)]
        draw, known = Draw(self.served, self._random, whole=True, again=True), self.knowledge(self.tables(train), train)
        unmet = self.unmet()
        new = unmet[self.plan.log.item[rows]] & (not self.plan.temporal)
        lists = self.around(self.events, rows[~new], draw, known, "validation slates")
        cold = self.played(unmet, rows[new], self.plan.valid, draw, known, "new items")
        return [part for part in [lists, cold, *found] if len(part)]

    def rows(self) -> NDArray[np.int64]:
        """(A sample of) the taught rows that lists are made around, in time order.

        They are fewer where the validation part asks for new items: one ranker cannot give both kinds its best, and
        what lists of known items teach it costs new ones (docs/quality.md, P3).
        """
        share = max(1.0 - self.new_share(), LEAST)
        return self.sample(self.plan.taught, share) if self.objective.lists else np.empty(0, np.int64)

    def costly(self) -> dict[str, Neighbours]:
        """Tables that serve all folds."""
        return self.maker.costly(self.spec, self.plan.grouped(self.plan.base, self._users))

    def lists(self, fold: int, rows: NDArray[np.int64], costly: Mapping[str, Neighbours]) -> list[Slates]:
        """Lists around those of the rows that lie in a fold, whose tables have not seen them."""
        if not self.objective.lists:
            return []
        known = self.knowledge(self.tables(self.plan.known(fold), costly), self.plan.base)
        mine = rows[self.plan.fold[rows] == fold]
        return [self.around(self.events, mine, self._draw(), known, f"slates {fold + 1}")]

    def cold(self, lists: int) -> list[Slates]:
        """About so many lists of items of which nothing has happened, out of games that are played so.

        In each, a share of the items is taken out of all histories, and every list looks for what its user did with
        them: what comes next depends on the newest events, whether something new is wanted at all on all of them.
        """
        draw = Draw(self.settings.slate, self._random, nameless=True, wanted=WANTED)
        known = self.knowledge(self.maker.of_content(self.spec), self.plan.train)
        items, log, parts = self.generator.permutation(np.flatnonzero(self.features.known)), self.plan.log, []
        for some in np.array_split(items, round(1 / COLD_SHARE))[:GAMES]:
            cold = np.isin(np.arange(len(self.features)), some)
            rows = self.generator.permutation(np.flatnonzero(self.plan.train & cold[log.item]))
            rows = rows[np.unique(log.user[rows], return_index=True)[1]]  # one a user
            rows = np.sort(self.generator.permutation(rows)[: round(lists / GAMES)])
            parts.append(self.played(cold, rows, self.plan.train, draw, known, "played cold"))
        return [Slates.concatenate(part for part in parts if len(part))] if any(map(len, parts)) else []

    def played(
        self,
        cold: NDArray[np.bool_],
        rows: NDArray[np.int64],
        among: NDArray[np.bool_],
        draw: Draw,
        known: Knowledge,
        label: str,
    ) -> Slates:
        """Lists of the items `cold` (bool [N]) around some of the log's rows, when nothing of them has happened.

        They look for what their users did in the rows `among` (bool [n]), and where the log is not split by time they
        are asked for at the end of all that is known.
        """
        log, users, temporal = self.plan.log, self._users, self.plan.temporal
        theirs = np.flatnonzero(among & cold[log.item] & np.isin(log.user, log.user[rows]))
        asked = log.take(theirs)
        if not temporal:
            asked = replace(asked, order=np.full(len(asked), log.order.max(initial=0) + 1))
        warm = self.plan.train & ~cold[log.item]
        moments = Moments(self.spec, log.take(warm), users, temporal, asked, self.events.context[warm])
        nothing = np.zeros(len(asked), bool)
        about = Asked(moments, self.events.context[theirs], nothing, nothing, nothing)
        made = self.around(about, np.searchsorted(theirs, rows), draw, known, label, cold)
        return made.replaced(row=rows)

    def judgements(self) -> list[Slates]:
        """Rows that are no lists: what users judged, before and after what the nets know.

        What the nets and tables know of an early row's item is the row itself. Such items therefore stand there without
        id and channels, and nobody learns from such rows which items come next: the tasks that order lists are silent.
        """
        tasks, lists = range(len(self.objective.tasks)), self.objective.lists
        opinions = [task for task in tasks if task not in lists]
        asked, events, base = self.asked, self.events, self.plan.base
        found = [self.judged(asked, asked.taught, tasks, base)]
        if not lists:
            found.append(self.judged(events, events.taught, tasks, base))
        if self.plan.temporal and opinions:
            early = [self.judged(rows, rows.base, opinions, base, nameless=True) for rows in (asked, events)]
            found += [silenced(part, lists) for part in early]
        return found

    def newest(self) -> list[Slates]:
        """Where the log is split by time, the rows that validate as lessons; else nothing.

        They are the newest of all that is known, and likest to what will be asked. Their tables do not know them.
        """
        tasks, train = range(len(self.objective.tasks)), self.plan.train
        if not self.plan.temporal:
            return []
        judged = self.judged(self.asked, self.asked.valid, tasks, train)
        if not self.objective.lists:
            return [self.judged(self.events, self.events.valid, tasks, train), judged]
        known, rows = self.knowledge(self.tables(train), train), self.sample(self.plan.valid)
        return [self.around(self.events, rows, self._draw(), known, "newest"), judged]

    def judged(
        self,
        asked: Asked,
        among: NDArray[np.bool_],
        tasks: Sequence[int],
        known: NDArray[np.bool_],
        nameless: bool = False,
    ) -> Slates:
        """Slates of (a sample of) the rows `among` that carry a label of some tasks; tables know the rows `known`."""
        moments, profile, size, items = asked.moments, self.features.profile, len(self.features), self.items
        chosen = self.sample(among & labelled(moments.log, tasks))
        groups = moment_groups(moments, asked.context, chosen, self.settings.slate)
        users = user_vectors(self.model, moments, firsts(groups), items.vector, profile, asked.context)
        builder = SlateBuilder(self.spec, moments, asked.context, profile, Draw(0, 0))
        if not nameless:
            return builder.judge(groups, users, self.knowledge(self.tables(known), known), "judged")
        bare = ArrayItems(items.vector[2 * size :], items.attribute[2 * size :])
        untold = replace(self.knowledge({}, known), items=bare, contexts=None)
        return shifted(builder.judge(groups, users, untold, "judged early"), 2 * size)

    def around(
        self,
        asked: Asked,
        rows: NDArray[np.int64],
        draw: Draw,
        known: Knowledge,
        label: str,
        cold: NDArray[np.bool_] | None = None,
    ) -> Slates:
        """Lists around some rows; `cold` as of `SlateBuilder.build`."""
        moments, profile = asked.moments, self.features.profile
        users = user_vectors(self.model, moments, rows, self.items.vector, profile, asked.context)
        builder = SlateBuilder(self.spec, moments, asked.context, profile, draw)
        return builder.build(rows, users, known, self.generator, label, cold)

    def sample(self, among: NDArray[np.bool_], share: float = 1.0) -> NDArray[np.int64]:
        """At most `ranker_examples` of some rows, or that share of so many, in time order."""
        rows = self.generator.permutation(np.flatnonzero(among))[: self.settings.ranker_examples]
        return np.sort(rows[: round(len(rows) * share)])

    def tables(self, known: NDArray[np.bool_], given: Mapping[str, Neighbours] | None = None) -> dict[str, Neighbours]:
        """Channel tables that know the rows `known` (bool [n]); those in `given` are taken as they are."""
        return self.maker.make(self.spec, self.plan.grouped(known, self._users), given)

    def knowledge(self, tables: Mapping[str, Neighbours], counted: NDArray[np.bool_]) -> Knowledge:
        """What slates may know; by user the counters stand at the end of `counted`, by time they move with the log."""
        log, size = self.plan.log, len(self.features)
        fixed = None if self.plan.temporal else count(self.spec, size, log.take(counted))
        contexts = Contexts.of(self.spec, self.features.attributes, log.item[counted], self.events.context[counted])
        return Knowledge(tables, fixed, log, self.items, self.features.known, contexts)

    def _draw(self) -> Draw:
        """Candidates of a list around a known item."""
        return Draw(self.settings.slate, self._random, newcomers=self.settings.item_dropout / 2, again=True)

    @property
    def _users(self) -> int:
        return len(self.features.profile)

    @property
    def _random(self) -> int:
        """Random items a slate needs: as many as the task with most sampled negatives asks for."""
        return max(task.negatives for task in self.objective.tasks)
