"""The two stages as steps: losses fall, hidden parts stay hidden, unlabelled tasks get no gradient."""

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from model.config import Training
from model.errors import TrainingError
from model.features.spec import TaskSpec
from model.nn import losses
from model.nn.model import MultiTaskModel
from model.nn.ranker import Ranker
from model.nn.settings import NetSettings
from model.train import tower
from model.train.adversarial import moved
from model.train.batches import item_vectors, ranker_batch, user_vectors
from model.train.moments import PAD
from model.train.rank import Objective, fit_ranker, list_relevance, over_chains, readings, slate_losses, validate
from model.train.side import SideLosses, attribute_loss, link_loss
from model.train.slates import OFFERED
from model.train.tower import Step, fit_towers, tower_loss, windows_of
from model.train.twins import one_task
from model.train.weighting import STRATEGIES, make_weighting
from tests.learners import (
    ITEMS,
    LENGTH,
    SETTINGS,
    SPEC,
    TASKS,
    USERS,
    VECTORS,
    data,
    features,
    net,
    passage,
    recorder,
    slates,
    watched,
)


def test_windows_cover_the_newest_known_event_of_every_user_and_no_unknown_one() -> None:
    windows = windows_of(data(), LENGTH, np.random.default_rng(0))
    assert windows.ends.max() == 13
    assert {int(user) for user, end in zip(windows.users, windows.ends, strict=True) if end == 13} == set(range(USERS))


def test_an_epoch_of_a_long_log_is_some_of_its_windows_and_the_next_one_others(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, generator = windows_of(data(), LENGTH, np.random.default_rng(0)), np.random.default_rng(0)
    monkeypatch.setattr(tower, "MOST_EVENTS", 40)
    drawn = [windows_of(data(), LENGTH, generator) for _ in range(30)]
    assert all(0 < np.minimum(one.ends, LENGTH).sum() <= 40 for one in drawn)
    assert all(np.minimum(one.ends, LENGTH).sum() > 40 - LENGTH for one in drawn)
    assert {user for one in drawn for user in one.users.tolist()} == set(whole.users.tolist())
    monkeypatch.setattr(tower, "MOST_EVENTS", 1)
    assert len(windows_of(data(), LENGTH, generator).users) == 1


def test_batches_hold_every_window_once_and_alike_ones_together() -> None:
    windows = Step(np.arange(100), np.random.default_rng(1).integers(1, 60, 100))
    parts = list(tower._batches(windows, 10, np.random.default_rng(0)))
    assert sorted(np.concatenate([part.users for part in parts]).tolist()) == list(range(100))
    assert np.mean([np.ptp(part.ends) for part in parts]) < 20


def test_what_content_says_is_not_computed_each_step_where_it_stays_the_same() -> None:
    mine = data()
    assert tower.still_content(net(), mine.features) is None  # its graph learns beside the towers
    mine = replace(mine, features=replace(mine.features, entity=np.full(ITEMS, -1)))
    plain = MultiTaskModel(SPEC, ITEMS, settings=NetSettings(heads=2, layers=1, n_experts=2, expert_width=8))
    told = tower.still_content(plain, mine.features)
    rows, hidden = np.arange(ITEMS), torch.arange(ITEMS) % 2 == 0
    none = np.empty(0, np.int64)
    by_step = tower._vectors(plain, mine, rows, hidden, none)
    torch.testing.assert_close(tower._vectors(plain, replace(mine, content=told), rows, hidden, none), by_step)


def test_beside_a_graph_a_step_computes_anew_what_content_says_of_its_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tower, "ANEW_MOST", 4)
    model, mine, generator = net(), data(), np.random.default_rng(0)
    still = replace(mine, content=tower.still_content(model, mine.features))
    with torch.no_grad():
        model.item_tower.prior.add_(1.0)
    rows, hidden, now = (
        np.arange(2, ITEMS),
        torch.zeros(ITEMS - 2, dtype=torch.bool),
        tower.said_of(model, mine.features),
    )
    anew = tower._anew(model, still, np.asarray([[PAD, 3, 1], [1, PAD, 0]]), generator)
    assert anew.tolist() == [0, 1, 3]
    assert len(tower._anew(model, still, np.arange(6), generator)) == 4
    made = tower._vectors(model, still, rows, hidden, anew) - model.item_tower.id(torch.from_numpy(rows) + 1)
    assert still.content is not None
    expected = still.content[rows].clone()
    expected[anew] = now[rows[anew]].detach()
    torch.testing.assert_close(made, expected)
    made.sum().backward()
    assert any(one.grad is not None for one in model.graph_encoder.parameters())
    kept, record = recorder()
    fit_towers(model, mine, SETTINGS, SideLosses(), None, generator, 6, 0.01, record)
    assert kept[-1]["tower/loss"] < kept[0]["tower/loss"]


def test_the_towers_learn_the_walk() -> None:
    kept, record = recorder()
    fresh = watched(8)  # of the first round: later ones are new to nobody
    epochs = fit_towers(net(), data(), SETTINGS, SideLosses(), fresh, np.random.default_rng(0), 25, 0.01, record)
    assert 1 <= epochs <= 25
    assert kept[-1]["tower/loss"] < kept[0]["tower/loss"] * 0.7
    assert max(one["tower/ndcg@10"] for one in kept) > 0.9


@pytest.mark.parametrize("length", [0.1, 1.0, 5.0])
def test_the_user_tower_starts_as_loud_as_explains_held_rows_best(length: float) -> None:
    """Vectors ten times as long need a tenth of the loudness."""
    model, mine = net(), features()
    vectors = torch.nn.functional.normalize(torch.from_numpy(VECTORS[:ITEMS]).float(), dim=1) * length
    model.item_tower.start_ids(vectors)
    asked, found = watched(8), []
    aims = torch.from_numpy(asked.moments.log.item[asked.rows])
    for loud in (*tower.LOUDS, tower.start_loudness(model, mine, asked, np.random.default_rng(0))):
        model.user_tower.means.sound(loud)
        said = user_vectors(model, asked.moments, asked.rows, item_vectors(model, mine), mine.profile, asked.context)
        logits = torch.from_numpy(said @ item_vectors(model, mine).T)
        found.append(float(torch.nn.functional.cross_entropy(logits, aims)))
    assert found[-1] == pytest.approx(min(found), rel=1e-4)


def test_without_held_rows_the_user_tower_starts_at_one() -> None:
    model, asked = net(), watched(8)
    nobody = replace(asked, rows=asked.rows[:0])
    assert tower.start_loudness(model, features(), nobody, np.random.default_rng(0)) == 1.0
    torch.testing.assert_close(model.user_tower.means.loud.exp().sum(), torch.tensor(1.0))


def test_without_validation_rows_every_epoch_is_run() -> None:
    kept, record = recorder()
    assert fit_towers(net(), data(), SETTINGS, SideLosses(), None, np.random.default_rng(0), 2, 0.01, record) == 2
    assert [one.keys() for one in kept] == [{"epoch", "tower/loss"}] * 2


def test_a_degenerate_loss_stops_training() -> None:
    model, (_, record) = net(), recorder()
    torch.nn.init.constant_(model.item_tower.id.weight, torch.inf)
    with pytest.raises(TrainingError, match="tower loss: found nan"):
        fit_towers(model, data(), SETTINGS, SideLosses(), None, np.random.default_rng(0), 1, 0.1, record)


def test_sampled_softmax_over_everything_is_near_the_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    plain = SETTINGS.model_copy(update={"item_dropout": 0.0})
    full = tower_loss(model, passage(model, plain))
    monkeypatch.setattr(tower, "FULL_SOFTMAX_ITEMS", 3)
    sampled = tower_loss(model, passage(model, plain))
    assert float(sampled.detach()) == pytest.approx(float(full.detach()), rel=0.05)
    few = tower_loss(model, passage(model, plain.model_copy(update={"negatives": 1})))
    assert torch.isfinite(few)


def test_dropped_ids_get_no_gradient() -> None:
    model = net()
    hidden = SETTINGS.model_copy(update={"item_dropout": 0.999999})
    tower_loss(model, passage(model, hidden, 4, 9)).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert model.item_tower.id.weight.grad is not None
    assert float(model.item_tower.id.weight.grad.abs().sum()) == 0.0


def test_attributes_are_told_without_reading_them() -> None:
    model, rows = net(), np.arange(ITEMS)
    mine = features()
    before = attribute_loss(model, mine, rows)
    turned = replace(mine, attributes=mine.attributes[::-1].copy())
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        loss = attribute_loss(model, mine, rows)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
    assert float(loss.detach()) < float(before.detach()) * 0.5
    assert float(attribute_loss(model, turned, rows).detach()) > float(loss.detach())


def test_links_of_the_graph_are_learned() -> None:
    triples = np.asarray([[head, 0, (head + 1) % ITEMS] for head in range(ITEMS)])
    model, generator = net(), np.random.default_rng(0)
    optimiser = torch.optim.Adam(model.graph_encoder.parameters(), lr=0.05)
    course = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = link_loss(model, triples, generator)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        course.append(float(loss.detach()))
    assert course[-1] < course[0] * 0.8


@pytest.mark.parametrize("weighting", STRATEGIES)
def test_the_ranker_learns_lists_and_labels_under_every_weighting(weighting: str) -> None:
    model, (kept, record) = net(), recorder()
    settings = SETTINGS.model_copy(update={"ranker_epochs": 15, "ranker_learning_rate": 0.03, "weighting": weighting})
    objective = Objective(SPEC, TASKS)
    fit_ranker(model, objective, [slates(80)], [slates(seed=1)], VECTORS, settings, np.random.default_rng(0), record)
    assert max(one["ranker/ndcg@10/interest"] for one in kept) > 0.9
    assert kept[-1]["ranker/loss/like"] < kept[0]["ranker/loss/like"]
    assert all(second["epoch"] == first["epoch"] + 1 for first, second in pairwise(kept))


def test_a_ranker_is_taught_again_for_as_many_epochs_as_were_best() -> None:
    settings = SETTINGS.model_copy(update={"ranker_epochs": 6, "ranker_learning_rate": 0.03})
    objective, first = Objective(SPEC, TASKS), net()

    def taught(model: MultiTaskModel, epochs: int | None) -> tuple[int, list[dict[str, float]]]:
        kept, record = recorder()
        torch.manual_seed(0)
        valid, generator = [] if epochs else [slates(seed=1)], np.random.default_rng(0)
        given = (objective, [slates(80)], valid, VECTORS, settings, generator, record)
        return fit_ranker(model, *given, epochs=epochs), kept

    start = copy.deepcopy(first)
    best, kept = taught(first, None)
    assert 1 <= best <= len(kept)
    same, again = taught(start, best)
    assert (same, len(again)) == (best, best)
    for mine, theirs in zip(first.ranker.parameters(), start.ranker.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_an_unlabelled_task_has_no_gradient() -> None:
    model, some = net(), slates(8)
    objective = Objective(SPEC, TASKS)
    labels = objective.labels(some)
    labels[..., 1] = np.nan
    by_task = slate_losses(model, objective, some, labels, torch.from_numpy(VECTORS))
    by_task.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    own = [value.grad for name, value in model.ranker.heads.named_parameters() if "like" in name]
    assert own
    assert all(grad is None or float(grad.abs().sum()) == 0.0 for grad in own)
    assert float(by_task[1].detach()) == 0.0


def test_fixed_weights_descend_the_weighted_sum_of_label_and_list_losses() -> None:
    tasks = (TASKS[0].model_copy(update={"weight": 0.7}), TASKS[1].model_copy(update={"weight": 0.2}))
    objective, some, table = Objective(SPEC, tasks), slates(8), torch.from_numpy(VECTORS)
    labels = objective.labels(some)
    model, other = net(), net()
    by_task = slate_losses(model, objective, some, labels, table)
    make_weighting("fixed", [task.weight for task in tasks]).descend(by_task, model.ranker.shared())
    raw = other.rank_raw(ranker_batch(some, table))
    of_labels, _ = losses.task_losses(SPEC.tasks, other.ranker.values, raw, torch.from_numpy(labels))
    of_lists = losses.listwise(raw[..., 0], torch.from_numpy(list_relevance(some, 0)))
    total = 0.7 * of_labels[0] + 0.2 * of_labels[1] + 0.7 * of_lists
    total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    for mine, theirs in zip(model.ranker.parameters(), other.ranker.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None)
        if mine.grad is not None and theirs.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad)


def test_a_list_is_read_as_a_sample_in_which_what_is_offered_stands_more_often() -> None:
    """Where offered items are drawn a hundred times as often, no list teaches that silence speaks for an item."""
    objective, some = Objective(SPEC, TASKS), slates(8)
    model, table = net().eval(), torch.from_numpy(VECTORS)
    unlabelled = np.full_like(some.labels, np.nan)
    drawn = np.where(some.role == OFFERED, np.float32(np.log(0.1)), np.float32(np.log(0.001)))
    found = slate_losses(model, objective, some.replaced(log_chance=drawn), unlabelled, table)[0]
    raw = model.rank_raw(ranker_batch(some, table))[..., 0] - torch.from_numpy(drawn)
    torch.testing.assert_close(found, (raw.logsumexp(1) - raw[:, 0]).mean())
    assert float(found.detach()) < float(slate_losses(model, objective, some, unlabelled, table)[0].detach())


@pytest.mark.parametrize("kind", ["shared_bottom", "mmoe", "ple"])
def test_what_tasks_share_is_what_every_task_moves_and_the_rest_belongs_to_one(kind: str) -> None:
    torch.manual_seed(0)
    ranker = Ranker(SPEC, NetSettings.model_validate({"heads": 2, "experts": kind, "dropout": 0.0}))
    raw = ranker.raw(**ranker_batch(slates(4), torch.from_numpy(VECTORS)))
    shared, everything = ranker.shared(), list(ranker.parameters())
    moved = [
        {
            id(parameter)
            for parameter, found in zip(
                everything, torch.autograd.grad(raw[..., task].sum(), everything, retain_graph=True, allow_unused=True),
                strict=True,
            )
            if found is not None and bool(found.any())
        }
        for task in (0, 1)
    ]  # fmt: skip
    common = {id(one) for one in shared.everything}
    assert {id(one) for one in shared.last} <= common & moved[0] & moved[1]
    assert moved[0] & moved[1] <= common
    assert (moved[0] | moved[1]) - common == (moved[0] ^ moved[1]) - common != set()


def test_a_task_without_lists_counts_by_the_share_of_its_loss_that_is_explained() -> None:
    spec = one_task(SPEC, 1)
    some = slates(8).replaced(labels=slates(8).labels[..., 1:])
    figure, figures = validate(net(spec), Objective(spec, TASKS[1:]), [some], VECTORS)
    share = np.nanmean(some.labels)
    idle = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert figure == pytest.approx(1 - figures["ranker/valid/like"] / idle, rel=1e-4)


def test_all_tasks_decide_when_the_ranker_is_best() -> None:
    some = slates(8)
    figure, figures = validate(net(), Objective(SPEC, TASKS), [some], VECTORS)
    share = np.nanmean(some.labels[..., 1])
    idle = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    parts = figures["ranker/ndcg@10/interest"], 1 - figures["ranker/valid/like"] / idle
    assert figure == pytest.approx(np.mean(parts), rel=1e-4)


@pytest.mark.parametrize("epsilon", [0.01, 0.1])
def test_vectors_moved_against_the_ranker_cost_it_more_and_by_default_none_is(epsilon: float) -> None:
    model, objective, some, table = net(), Objective(SPEC, TASKS), slates(8), torch.from_numpy(VECTORS)
    labels = objective.labels(some)
    weights = torch.tensor([task.weight for task in TASKS])
    clean = (weights * slate_losses(model, objective, some, labels, table)).sum().detach()
    both = (weights * slate_losses(model, objective, some, labels, table, epsilon)).sum().detach()
    assert both > clean
    near = (weights * slate_losses(model, objective, some, labels, table, 1e-6)).sum().detach()
    torch.testing.assert_close(near, clean, rtol=1e-4, atol=1e-5)
    assert Training().adversarial == 0.0


def test_vectors_move_as_far_as_said_along_their_gradient_and_padding_stays() -> None:
    vectors = torch.arange(12.0).reshape(2, 3, 2)
    gradient = torch.tensor([[[3.0, 4.0], [0.0, 0.0], [0.0, -1e-12]], [[1.0, 0.0], [0.0, 0.0], [-5.0, 12.0]]])
    step = moved({"history_vectors": vectors}, {"history_vectors": gradient}, 0.5)["history_vectors"] - vectors
    torch.testing.assert_close(step[0], torch.tensor([[0.3, 0.4], [0.0, 0.0], [0.0, -0.5]]))
    assert float(step[1, 1].abs().sum()) == 0.0


def test_the_ranker_learns_under_attack() -> None:
    model, (kept, record) = net(), recorder()
    changes = {"ranker_epochs": 8, "ranker_learning_rate": 0.01, "adversarial": 0.2}
    settings = SETTINGS.model_copy(update=changes)
    fit_ranker(
        model,
        Objective(SPEC, TASKS),
        [slates(80)],
        [slates(seed=1)],
        VECTORS,
        settings,
        np.random.default_rng(0),
        record,
    )
    assert kept[-1]["ranker/loss/interest"] < kept[0]["ranker/loss/interest"]
    assert max(one["ranker/ndcg@10/interest"] for one in kept) > 0.9


def test_nothing_follows_what_did_not_happen() -> None:
    nan = np.nan
    chain = SPEC.model_copy(
        update={"tasks": (TaskSpec(name="buy", kind="binary", after="click"), TaskSpec(name="click", kind="binary"))}
    )
    given = np.asarray([[nan, 0], [nan, 1], [1, nan], [0, nan], [1, 1], [nan, nan], [0, 1]], np.float32)
    told = np.asarray([[0, 0], [nan, 1], [1, nan], [0, nan], [1, 1], [nan, nan], [0, 1]], np.float32)
    np.testing.assert_array_equal(over_chains(given.copy(), chain), told)
    np.testing.assert_array_equal(over_chains(given.copy(), SPEC), given)


def test_a_sampled_negative_of_a_click_is_one_of_what_comes_after_it() -> None:
    click, buy = TASKS[0], TASKS[1].model_copy(update={"after": "interest"})
    tasks = (SPEC.tasks[0], SPEC.tasks[1].model_copy(update={"after": "interest"}))
    some = slates(6)
    labels = Objective(SPEC.model_copy(update={"tasks": tasks}), (click, buy)).labels(some)
    drawn = labels[..., 0] == 0
    assert drawn.any()
    assert (labels[drawn, 1] == 0).all()
    np.testing.assert_array_equal(labels[:, 0], Objective(SPEC, TASKS).labels(some)[:, 0])


def test_readings_do_not_depend_on_the_batch() -> None:
    model, some = net(), slates(10)
    np.testing.assert_allclose(
        readings(model, some, VECTORS), readings(model, some, VECTORS, chunk=3), rtol=1e-4, atol=1e-5
    )
    assert readings(model, some.take(slice(0, 0)), VECTORS).size == 0


def test_user_vectors_do_not_depend_on_the_batch() -> None:
    model, mine = net(), data()
    vectors = item_vectors(model, mine.features)
    rows = np.arange(30)
    one, many = (
        user_vectors(model, mine.moments, rows, vectors, mine.features.profile, mine.context, chunk)
        for chunk in (1, 30)
    )
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-5)
