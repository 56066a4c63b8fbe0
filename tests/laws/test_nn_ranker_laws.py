"""What the ranker must obey for every kind of sharing, whatever its weights."""

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.features.spec import TaskSpec
from model.nn import losses
from model.nn.experts import mixed
from model.nn.first import FirstLayer
from model.nn.heads import chained
from model.nn.model import MultiTaskModel
from model.nn.settings import NetSettings
from tests.nets import TASKS, inputs_of, small_model, spec_of

check_close = functools.partial(torch.testing.assert_close, atol=2e-5, rtol=1e-4)
KINDS = ("shared_bottom", "mmoe", "ple")


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> MultiTaskModel:
    return small_model(NetSettings.model_validate({"experts": request.param, "expert_width": 8}))


def _first(model: MultiTaskModel) -> tuple[Tensor, Tensor]:
    inputs = inputs_of("ranker")
    ranker = model.ranker
    names = ("user_vector", "profile", "context", "user_features")
    user, query = ranker.user(*(inputs[name] for name in names))
    features = ranker._normalised(inputs["candidate_features"])
    vectors, types, values, gaps = (inputs[f"history_{name}"] for name in ("vectors", "types", "values", "gaps"))
    made: tuple[Tensor, Tensor] = ranker.first(
        user, query, ranker._each(inputs["candidate_vectors"], (vectors, types, values, gaps), features)
    )
    return made


def test_gates_sum_to_one_over_experts(model: MultiTaskModel) -> None:
    gates = model.ranker.experts.listening(*_first(model))
    assert (gates.shape[:2], gates.shape[3]) == ((2, len(TASKS)), 7)
    assert (gates >= 0).all()
    torch.testing.assert_close(gates.sum(2), torch.ones(2, len(TASKS), 7))


def test_gates_start_equal_over_the_experts_a_task_may_hear() -> None:
    for kind in KINDS:
        torch.manual_seed(0)
        fresh = MultiTaskModel(spec_of(), 3, settings=NetSettings.model_validate({"experts": kind}))
        for name, gate in fresh.ranker.first.gates.items():
            assert not gate.any(), name


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (3, 2, 1, 0)])
def test_permuting_tasks_permutes_outputs(model: MultiTaskModel, order: tuple[int, ...]) -> None:
    tasks: tuple[TaskSpec, ...] = tuple(TASKS[place] for place in order)
    turned = MultiTaskModel(spec_of(tasks), model.items, 12, 2, model.settings).eval()
    turned.load_state_dict(model.state_dict())
    inputs = inputs_of("ranker")
    check_close(turned.rank_logits(inputs), model.rank_logits(inputs)[..., list(order)])


def test_candidates_do_not_see_each_other(model: MultiTaskModel) -> None:
    inputs = inputs_of("ranker", C=9)
    whole = model.rank_logits(inputs)
    order = torch.tensor([4, 8, 0, 2])
    some = {name: part[:, order] if name.startswith("candidate") else part for name, part in inputs.items()}
    check_close(model.rank_logits(some), whole[:, order])


def test_an_unlabelled_task_gives_no_gradient_to_what_is_its_own(model: MultiTaskModel) -> None:
    model.zero_grad()
    raw = model.rank_raw(inputs_of("ranker"))
    labels = torch.ones_like(raw)
    labels[..., 1] = torch.nan
    by_task, counts = losses.task_losses(TASKS, model.ranker.values, raw, labels)
    torch.autograd.backward(by_task.sum())
    assert counts.tolist() == [14, 0, 14, 14]
    assert by_task[1].item() == 0.0
    grads = {name: one.grad for name, one in model.named_parameters() if name.startswith("ranker")}
    shared = ("hears", "banks")  # what the shared mixture of PLE reads of a task belongs to all
    own = {
        name: grad for name, grad in grads.items() if "task stars" in name and not any(one in name for one in shared)
    }
    assert own
    assert [name for name, grad in own.items() if grad is not None and grad.any()] == []
    heads = [grad for name, grad in grads.items() if ".last.task interest" in name]
    assert heads
    assert all(grad is not None and grad.any() for grad in heads)
    assert all(torch.isfinite(grad).all() for grad in grads.values() if grad is not None)


def test_a_labelled_task_moves_users_history_and_candidates(model: MultiTaskModel) -> None:
    inputs = inputs_of("ranker")
    read = [name for name, part in inputs.items() if part.is_floating_point()]
    for name in read:
        inputs[name].requires_grad_()
    torch.autograd.backward(model.rank_raw(inputs)[..., 0].sum())
    for name in read:
        assert inputs[name].grad is not None, name
        assert inputs[name].grad.any(), name  # type: ignore[union-attr]  # asserted above


@pytest.mark.parametrize("training", [False, True])
def test_the_split_first_layer_is_the_plain_one(training: bool) -> None:
    torch.manual_seed(0)
    layer = FirstLayer((5, 4, 3), 2, 6, {"all": 2}, {"one": 3, "two": 1}).train(training)
    for gate in layer.gates.values():
        torch.nn.init.normal_(gate)
    user, query, each = torch.randn(2, 5), torch.randn(2, 2), torch.cat([torch.randn(2, 7, 9), torch.ones(2, 7, 1)], -1)
    candidate = each[..., :2] * 2**0.5
    crossed = candidate * query.unsqueeze(1)
    plain = torch.cat([user.unsqueeze(1).expand(2, 7, 5), candidate, crossed, each[..., 2:]], dim=-1)
    experts, gates = layer(user, query, each.transpose(1, 2))
    check_close(experts.transpose(2, 3), plain.unsqueeze(1) @ layer.banks["all"])
    check_close(gates.transpose(1, 2), plain @ torch.cat([layer.gates["one"], layer.gates["two"]], dim=2)[0])


@pytest.mark.parametrize("experts", [2, 9])
def test_a_mixture_is_the_weighted_sum_of_experts_whether_few_or_many(experts: int) -> None:
    torch.manual_seed(0)
    weights, vectors = torch.randn(2, 3, experts, 5), torch.randn(2, experts, 4, 5)
    check_close(mixed(weights, vectors), torch.einsum("btec,beoc->btoc", weights, vectors))


CHAIN = (
    TaskSpec(name="buy", kind="binary", after="cart"),
    TaskSpec(name="other", kind="binary"),
    TaskSpec(name="cart", kind="binary", after="click"),
    TaskSpec(name="stars", kind="ordinal", low=1, high=5),
    TaskSpec(name="click", kind="binary"),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_likelier_than_what_it_comes_after(kind: str, seed: int) -> None:
    chain = small_model(NetSettings.model_validate({"experts": kind, "expert_width": 8}), spec_of(CHAIN), seed)
    with torch.no_grad():
        chain.ranker.heads.last["task cart"].mul_(100.0)  # far out as well
    buy, _, cart, _, click = chain.rank_logits(inputs_of("ranker", spec_of(CHAIN), seed, C=50)).unbind(-1)
    assert (buy <= cart).all()
    assert (cart <= click).all()
    assert (buy < click).any()


def test_a_chain_is_the_product_of_its_steps_and_leaves_other_tasks_alone() -> None:
    loose = small_model(spec=spec_of(tuple(task.model_copy(update={"after": None}) for task in CHAIN)))
    chain = small_model(spec=spec_of(CHAIN))
    inputs = inputs_of("ranker", spec_of(CHAIN))
    steps, whole = (model.rank_logits(inputs).double() for model in (loose, chain))
    click, cart, buy = (steps[..., place].sigmoid() for place in (4, 2, 0))
    check_close(whole[..., 4].sigmoid(), click)
    check_close(whole[..., 2].sigmoid(), click * cart)
    check_close(whole[..., 0].sigmoid(), click * cart * buy)
    check_close(whole[..., [1, 3]], steps[..., [1, 3]])


@given(own=st.floats(-80, 80), before=st.floats(-80, 80))
def test_a_chained_logit_is_finite_and_below_both_of_its_steps(own: float, before: float) -> None:
    found = chained(torch.tensor(own), torch.tensor(before))
    assert torch.isfinite(found)
    assert found <= min(torch.tensor(own), torch.tensor(before))


def test_a_spec_without_chains_keeps_its_digest_and_one_with_them_comes_back_from_its_json() -> None:
    chain = spec_of(CHAIN)
    assert "after" not in spec_of().model_dump_json()
    assert type(chain).model_validate_json(chain.model_dump_json()) == chain
    assert chain.chains() == {2: 4, 0: 2}
    assert list(chain.chains()) == [2, 0]
