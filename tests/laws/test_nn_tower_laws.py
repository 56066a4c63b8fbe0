"""What the user tower and the ranker's history must obey, whatever their weights."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.nn.settings import NetSettings
from tests.nets import history, inputs_of, padded, small_model

check_close = functools.partial(torch.testing.assert_close, atol=2e-5, rtol=1e-4)
model = small_model()


@settings(deadline=None, max_examples=15)
@given(length=st.integers(1, 25), seed=st.integers(0, 99))
def test_the_last_of_all_predictions_is_the_prediction_of_now(length: int, seed: int) -> None:
    inputs = inputs_of("user_tower", seed=seed, L=length)
    everywhere = model.user_vectors_all(inputs)
    assert everywhere.shape == (2, length + 1, model.spec.dim)
    check_close(everywhere[:, -1], model.user_vectors(inputs))


@settings(deadline=None, max_examples=15)
@given(length=st.integers(2, 25), data=st.data(), seed=st.integers(0, 99))
def test_a_prediction_inside_a_window_is_that_of_a_shorter_history(length: int, data: st.DataObject, seed: int) -> None:
    inputs = inputs_of("user_tower", seed=seed, L=length)
    place = data.draw(st.integers(1, length))
    shorter = model.user_vectors(history(inputs, slice(0, place)))
    check_close(model.user_vectors_all(inputs)[:, place], shorter)


@settings(deadline=None, max_examples=15)
@given(length=st.integers(1, 12), count=st.integers(1, 12), seed=st.integers(0, 99))
def test_padding_on_the_left_changes_nothing(length: int, count: int, seed: int) -> None:
    for graph, net in (("user_tower", model.user_tower), ("ranker", model.ranker)):
        inputs = inputs_of(graph, seed=seed, L=length)
        check_close(net(**padded(inputs, count)), net(**inputs))


@pytest.mark.parametrize("length", [1, 4])
def test_an_empty_history_is_one_prediction_however_it_is_padded(length: int) -> None:
    inputs = inputs_of("user_tower", L=length)
    inputs["history_types"] = torch.zeros_like(inputs["history_types"])
    everywhere = model.user_vectors_all(inputs)
    check_close(everywhere, everywhere[:, :1].expand_as(everywhere))
    one = {"history_types": torch.zeros(2, 1, dtype=torch.int64)}
    check_close(model.user_vectors(history(inputs, slice(0, 1)) | one), everywhere[:, 0])


def test_what_fills_a_place_reads_both_sides_and_not_what_is_hidden() -> None:
    inputs = inputs_of("user_tower", L=6)
    inputs["history_types"][:, 3] = 0
    filled = model.user_vectors_around(inputs).detach()
    assert filled.shape == (2, 6, model.spec.dim)
    for place, same in ((3, True), (1, False), (5, False)):
        changed = dict(inputs) | {"history_vectors": inputs["history_vectors"].clone()}
        changed["history_vectors"][:, place] *= -1.0
        moved = (model.user_vectors_around(changed).detach() - filled)[:, 3].abs().max()
        assert (float(moved) == 0.0) == same


def test_no_prediction_knows_a_later_event() -> None:
    inputs = inputs_of("user_tower", L=6)
    changed = dict(inputs) | {"history_vectors": inputs["history_vectors"].clone()}
    changed["history_vectors"][:, 3] *= -1.0
    before, after = model.user_vectors_all(inputs), model.user_vectors_all(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().amax(-1).min() > 1e-4


@pytest.mark.parametrize("name", ["history_vectors", "history_types", "history_values", "history_gaps"])
def test_every_part_of_an_event_is_read(name: str) -> None:
    for graph, net in (("user_tower", model.user_tower), ("ranker", model.ranker)):
        inputs = inputs_of(graph)
        part = inputs[name].clone()
        part[:, 2] = 3 - part[:, 2] if name == "history_types" else part[:, 2] * 0 + 1
        inputs["history_types"].clamp_(max=2)
        assert (net(**inputs) - net(**inputs | {name: part})).abs().max() > 1e-6


def test_the_order_of_events_is_read() -> None:
    inputs = inputs_of("user_tower", L=3)
    turned = {name: part.flip(1) if name.startswith("history") else part for name, part in inputs.items()}
    assert (model.user_vectors(inputs) - model.user_vectors(turned)).abs().max() > 1e-4


@pytest.mark.parametrize("graph", ["user_tower", "ranker"])
def test_a_batch_is_its_users_one_by_one(graph: str) -> None:
    net = {"user_tower": model.user_tower, "ranker": model.ranker}[graph]
    inputs = inputs_of(graph, B=3)
    single = [net(**{name: part[row : row + 1] for name, part in inputs.items()}) for row in range(3)]
    check_close(net(**inputs), torch.cat(single))


def test_each_place_may_have_a_moment_of_its_own() -> None:
    inputs = inputs_of("user_tower", L=3)
    moments = torch.tensor([[0, 1], [1, 2], [2, 3], [1, 4]]).expand(2, 4, 2)
    everywhere = model.user_vectors_all(inputs | {"context": moments})
    for place in range(4):
        asked = inputs | {"context": moments[:, place]}
        check_close(everywhere[:, place], model.user_vectors_all(asked)[:, place])


def test_what_is_switched_off_is_not_read() -> None:
    off = small_model(NetSettings(sequence=False, context=False))
    for graph, net in (("user_tower", off.user_tower), ("ranker", off.ranker)):
        inputs, other = inputs_of(graph, seed=1), inputs_of(graph, seed=2)
        unread = {name: other[name] for name in inputs if name.startswith("history") or name == "context"}
        torch.testing.assert_close(net(**inputs), net(**inputs | unread))
