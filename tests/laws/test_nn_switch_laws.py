"""What is switched off is not read, and tasks that share nothing do not touch each other."""

import pytest
import torch

from model.features.ranking import candidate_feature_names, user_feature_names
from model.features.spec import TaskSpec
from model.nn.apart import Apart
from model.nn.model import MultiTaskModel
from model.nn.settings import NetSettings
from tests.nets import TASKS, inputs_of, small_model, spec_of

NAMES, USERS = candidate_feature_names(spec_of()), len(user_feature_names(spec_of()))
COUNTERS = [name.startswith(("share:", "rate:", "item:")) for name in NAMES]
ATTRIBUTES = [name in ("cross:attributes", "cross:liking") for name in NAMES]


def normalised(**switches: bool) -> MultiTaskModel:
    model, sides = small_model(NetSettings.model_validate(switches)), torch.tensor([[-1.0], [1.0]])
    model.ranker.measure(sides.expand(2, USERS), sides.expand(2, len(NAMES)))
    return model


@pytest.mark.parametrize(("part", "columns"), [("counters", COUNTERS), ("attributes", ATTRIBUTES)])
def test_features_of_a_part_that_is_off_are_not_read_and_all_others_are(part: str, columns: list[bool]) -> None:
    model, inputs = normalised(**{part: False}), inputs_of("ranker")
    said = model.rank_logits(inputs)
    for place, off in enumerate(columns):
        other = inputs["candidate_features"].clone()
        other[..., place] += 1.0
        same = torch.equal(model.rank_logits(inputs | {"candidate_features": other}), said)
        assert same == off, NAMES[place]
    whole = normalised()
    assert not torch.equal(whole.rank_logits(inputs), said)


def test_tasks_apart_give_each_task_its_own_gradient_only() -> None:
    model = normalised(sharing=False)
    assert isinstance(model.ranker, Apart)
    model.rank_raw(inputs_of("ranker"))[..., 1].sum().backward()  # type: ignore[no-untyped-call]  # untyped in torch
    touched = [
        any(one.grad is not None and bool(one.grad.any()) for one in ranker.parameters())
        for ranker in model.ranker.each()
    ]
    assert touched == [task.name == "stars.5" for task in TASKS]


def test_tasks_apart_say_what_each_ranker_says() -> None:
    model, inputs = normalised(sharing=False), inputs_of("ranker")
    assert isinstance(model.ranker, Apart)
    raw, logits = model.rank_raw(inputs), model.rank_logits(inputs)
    assert raw.shape == (2, 7, len(TASKS))
    for place, (task, ranker) in enumerate(zip(TASKS, model.ranker.each(), strict=True)):
        torch.testing.assert_close(raw[..., place], ranker.raw(**inputs)[..., 0])
        if task.kind != "ordinal":  # whose thresholds are the whole model's
            torch.testing.assert_close(logits[..., place], ranker(**inputs)[..., 0])


def test_tasks_apart_keep_their_chains_and_share_no_parameter() -> None:
    chain = (TaskSpec(name="buy", kind="binary", after="click"), TaskSpec(name="click", kind="binary"))
    model = small_model(NetSettings(sharing=False), spec_of(chain))
    logits = model.rank_logits(inputs_of("ranker"))
    assert (logits[..., 0] <= logits[..., 1]).all()
    shared = model.ranker.shared()
    assert len(shared.everything) == len(list(model.ranker.parameters()))
    gradients = torch.autograd.grad(logits[..., 1].sum(), shared.last, allow_unused=True)
    assert any(one is not None for one in gradients)
