"""Side tasks on a small world: every kind is learned by something, each loss falls, weight 0 is as if not declared."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import Recipe, Task
from model.config.tasks import PAIR_KINDS
from model.data.loading import load
from model.data.log import Dataset
from model.nn import losses
from model.train.fit import Learner
from model.train.lessons import LEAST, WANTED
from model.train.moments import PAD
from model.train.passage import Passage
from model.train.record import Record
from model.train.side import LEARNED, Lesson, SideLosses, told_ids
from model.train.slates import EMPTY, POSITIVE
from model.train.supervision import contrast_loss, drawn, masked_loss
from model.train.tower import Step, fit_towers, passage_of
from tests.worlds import write_world

KINDS = get_args(Task.model_fields["kind"].annotation)
SETTINGS = {"training.dropout": 0.0, "training.item_dropout": 0.0, "training.batch": 64}


@dataclass(frozen=True)
class World:
    recipe: Recipe
    dataset: Dataset
    folder: Path

    def learner(self) -> Learner:
        """A learner at the start of everything."""
        text = np.random.default_rng(0).normal(size=(len(self.dataset.items), 6)).astype(np.float32)
        record = Record(self.folder / "runs")
        record.close()
        return Learner(self.recipe, self.dataset, text, record)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    recipe = Recipe.load(write_world(folder)).under("quick", SETTINGS)
    return World(recipe, load(recipe), folder)


def read(learner: Learner, users: int = 60, end: int = 9) -> Passage:
    data = learner.tower_data(learner.plan.base)
    step = Step(np.arange(users), np.minimum(np.full(users, end), np.diff(data.moments.by_user.indptr)[:users]))
    return passage_of(learner.model, data, learner.settings, step, np.random.default_rng(0))


def loss_of(learner: Learner, kind: str, seed: int = 0) -> Tensor:
    triples = learner.side.triples
    lesson = Lesson(learner.model, learner.features, read(learner), triples, np.random.default_rng(seed))
    return LEARNED[kind](Task.model_validate({"name": "some", "kind": kind}), lesson)


def test_every_kind_of_task_that_a_recipe_may_declare_is_learned_by_something() -> None:
    assert set(PAIR_KINDS) | set(LEARNED) == set(KINDS)
    assert not set(PAIR_KINDS) & set(LEARNED)


@pytest.mark.parametrize("kind", LEARNED)
def test_every_side_loss_falls_when_it_is_descended(kind: str, world: World) -> None:
    learner = world.learner()
    before = np.mean([float(loss_of(learner, kind, seed).detach()) for seed in range(5)])
    optimiser = torch.optim.Adam(learner.model.parameters(), lr=0.01)
    for step in range(40):
        optimiser.zero_grad()
        torch.autograd.backward(loss_of(learner, kind, 100 + step))
        optimiser.step()
    after = np.mean([float(loss_of(learner, kind, seed).detach()) for seed in range(5)])
    assert after < 0.9 * before


def fitted(world: World, tasks: tuple[Task, ...]) -> dict[str, Tensor]:
    learner = world.learner()
    side = SideLosses(tasks, learner.side.triples)
    data = learner.tower_data(learner.plan.base)
    fit_towers(learner.model, data, learner.settings, side, None, np.random.default_rng(0), 1, 0.01, lambda *_: None)
    return learner.model.state_dict()


def test_a_side_task_of_weight_0_changes_nothing_and_one_with_weight_does(world: World) -> None:
    tasks = tuple(Task.model_validate({"name": "some", "kind": kind, "weight": 0.0}) for kind in LEARNED)
    without, idle = fitted(world, ()), fitted(world, tasks)
    assert all(torch.equal(value, idle[name]) for name, value in without.items())
    for task in tasks:
        moved = fitted(world, (task.model_copy(update={"weight": 0.5}),))
        assert any(not torch.equal(value, moved[name]) for name, value in without.items()), task.kind


def test_a_recipe_may_declare_two_tasks_of_one_kind(world: World) -> None:
    names = [task.name for task in world.learner().side.tasks]
    assert names == ["genres", "graph"]
    learner = world.learner()
    lesson = (learner.model, learner.features, read(learner))
    one, both = (
        float(SideLosses(world.recipe.side_tasks[:1] * count).loss(*lesson, np.random.default_rng(0)).detach())
        for count in (1, 2)
    )
    assert both == pytest.approx(2 * one, rel=0.2)  # another sample of items


def test_a_task_tells_the_attribute_it_is_named_after_or_those_it_lists(world: World) -> None:
    spec = world.learner().spec
    sizes = {one.name: one.size for one in spec.attributes}

    def asked(**more: object) -> int:
        task = Task.model_validate({"name": "x", "kind": "item_attributes"} | more)
        return int(told_ids(task, spec.attributes, spec.attribute_vocabulary).sum())

    assert asked(name="genres") == sizes["genres"]
    assert asked(name="genres", attributes=("release_year",)) == sizes["release_year"]
    assert asked() == sum(sizes.values())


def test_attributes_that_a_task_is_not_about_add_nothing() -> None:
    ids = torch.tensor([[1, 3], [2, 0], [4, 0]])
    among = torch.tensor([False, True, True, False, False])
    logits = torch.zeros(3, 5, requires_grad=True)
    loss = losses.attributes(logits, ids, among)
    assert float(loss.detach()) == pytest.approx(np.log(2.0))
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert logits.grad is not None
    assert not logits.grad[:, [0, 3, 4]].any()
    assert not logits.grad[2].any()


def test_the_profile_and_the_context_are_told_without_reading_them(world: World) -> None:
    for kind, told in (("user_profile", "profile"), ("scene", "context")):
        learner = world.learner()
        torch.autograd.backward(loss_of(learner, kind))
        read_by = learner.model.user_tower.moment
        moved = {"profile": read_by.profile.table.weight.grad, "context": read_by.context.weight.grad}[told]
        nothing = torch.tensor([0]) if told == "profile" else read_by.offsets  # what stands for unknown
        assert moved is not None
        moved[nothing] = 0.0
        assert not moved.any()


def test_unknown_context_is_unlabelled(world: World) -> None:
    learner = world.learner()
    passage = read(learner)
    empty = replace(passage, context=torch.zeros_like(passage.context))
    lesson = Lesson(learner.model, learner.features, empty, None, np.random.default_rng(0))
    assert float(LEARNED["scene"](Task(name="x", kind="scene"), lesson).detach()) == 0.0


def test_hidden_events_are_not_read_and_without_any_there_is_no_loss(world: World) -> None:
    learner = world.learner()
    passage = read(learner)
    hidden = drawn(passage, np.random.default_rng(0))
    assert hidden.any()
    assert not (hidden & ~passage.real()).any()
    lost = masked_loss(learner.model, passage, hidden)
    values = passage.windows.values.copy()
    values[hidden] = 0.123
    other = replace(passage, windows=replace(passage.windows, values=values))
    torch.testing.assert_close(masked_loss(learner.model, other, hidden), lost)
    assert float(masked_loss(learner.model, passage, np.zeros_like(hidden))) == 0.0


def test_windows_of_one_user_are_no_wrong_answers_of_each_other(world: World) -> None:
    learner = world.learner()
    lonely = replace(read(learner, 5), users=np.zeros(5, np.int64))
    assert float(contrast_loss(learner.model, lonely, np.random.default_rng(0)).detach()) == 0.0


def test_the_towers_read_no_event_of_the_validation_part_wherever_it_lies(world: World) -> None:
    """Items that validate as cold ones have their events between those of training, not after them."""
    log = world.dataset.log
    split = np.where(log.item % 5 == 0, 1, 0).astype(log.split.dtype)
    learner = World(world.recipe, replace(world.dataset, log=replace(log, split=split)), world.folder).learner()
    data, base = learner.tower_data(learner.plan.base), learner.plan.base
    assert learner.plan.valid[: np.flatnonzero(base)[-1]].any()
    assert len(data.moments.log) == base.sum()
    ends = np.diff(data.moments.by_user.indptr)
    step = Step(np.flatnonzero(ends), ends[ends > 0])
    rows = passage_of(learner.model, data, learner.settings, step, np.random.default_rng(0)).windows.rows
    assert (data.met[rows[rows >= 0]] % 5 != 0).all()


@pytest.mark.parametrize("temporal", [False, True])
def test_items_are_played_cold_without_their_ids_and_nobody_has_met_them(world: World, temporal: bool) -> None:
    recipe = world.recipe.under("quick", {"training.item_dropout": 0.5})
    learner = World(recipe, world.dataset, world.folder).learner()
    learner.settle(learner.plan.base)
    learner.plan = replace(learner.plan, temporal=temporal)
    lessons, size = learner.lessons(), len(learner.features)
    (made,) = lessons.cold(64)
    assert 8 <= len(made) <= 64
    real = made.candidates != PAD
    assert (made.candidates[real] // size == 2).all()
    items = made.candidates % size
    for place, row in enumerate(made.row.tolist()):
        assert items[place][0] == learner.plan.log.item[row]
        assert not np.isin(made.rows[place][made.rows[place] >= 0], items[place][real[place]]).any()
    wanted = (made.role == POSITIVE).sum(1)
    assert 1 <= wanted.min() < wanted.max() <= WANTED
    log, train = learner.plan.log, learner.plan.train
    known = set(zip(log.user[train].tolist(), log.item[train].tolist(), strict=True))
    for user, mine, roles in zip(made.user.tolist(), items, made.role, strict=True):
        assert all((user, item) in known for item in mine[roles == POSITIVE].tolist()), "learned from what validates"


def of_new_items(world: World, some: NDArray[np.bool_]) -> Learner:
    """A learner whose validation part is every fifth item with events, and besides them the rows `some`."""
    log = world.dataset.log
    split = np.where((log.item % 5 == 0) | some, 1, 0).astype(log.split.dtype)
    learner = World(world.recipe, replace(world.dataset, log=replace(log, split=split)), world.folder).learner()
    learner.settle(learner.plan.base)
    return learner


def test_what_validates_says_how_many_lists_look_for_new_items(world: World) -> None:
    log = world.dataset.log
    every = log.item % 5 == 0
    others = np.flatnonzero(~every)[:: max(int((~every).sum() / every.sum()), 1)][: int(every.sum())]
    some = np.isin(np.arange(len(log)), others)
    usual, half, whole = world.learner(), of_new_items(world, some), of_new_items(world, np.zeros(len(log), bool))
    usual.settle(usual.plan.base)
    asked = [one.lessons() for one in (usual, half, whole)]
    shares = [one.new_share() for one in asked]
    assert shares == pytest.approx([0.0, 0.5, 1.0], abs=0.1)
    for learner, lessons, share in zip((usual, half, whole), asked, shares, strict=True):
        most = min(int(learner.plan.taught.sum()), learner.settings.ranker_examples)
        assert len(lessons.rows()) == round(most * max(1 - share, LEAST))
    whole.plan = replace(whole.plan, temporal=True)
    assert whole.lessons().new_share() == 0.0


def test_items_that_nobody_met_validate_at_the_end_of_what_is_known(world: World) -> None:
    learner = of_new_items(world, np.zeros(len(world.dataset.log), bool))
    rows = learner.valid
    (lists,) = learner.lessons().valid(rows)
    assert sorted(lists.row.tolist()) == sorted(rows.tolist())
    known = learner.plan.log.take(learner.plan.train)
    assert np.array_equal(lists.candidates[:, 0], learner.plan.log.item[lists.row])
    for place, row in enumerate(lists.row.tolist()):
        mine = known.item[known.user == learner.plan.log.user[row]][-lists.rows.shape[1] :]
        assert lists.rows[place][lists.rows[place] >= 0].tolist() == mine.tolist()
        assert not np.isin(lists.candidates[place, lists.role[place] != EMPTY], known.item).any()
