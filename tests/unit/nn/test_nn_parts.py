"""Item tower, layers, heads and side heads: known answers."""

import math

import numpy as np
import pytest
import torch

from model.features.spec import TaskSpec
from model.nn.heads import TaskValues
from model.nn.layers import FEATURE_CLIP, IdBag, Normaliser, PiecewiseLinear, task_key
from model.nn.model import ItemFeatures, MultiTaskModel
from model.nn.settings import NetSettings
from model.nn.towers import FadingMeans
from tests.nets import ITEMS, TASKS, inputs_of, small_model, spec_of

model = small_model()


def _features(count: int = 4) -> ItemFeatures:
    spec, generator = model.spec, np.random.default_rng(0)
    return ItemFeatures.of(
        np.arange(1, count + 1),
        generator.standard_normal((count, spec.text_dim)).astype(np.float32),
        generator.integers(1, spec.attribute_vocabulary, (count, spec.max_attributes)).astype(np.int32),
        np.arange(count),
    )


def _without(features: ItemFeatures, *names: str) -> ItemFeatures:
    empty = {"text": torch.zeros_like(features.text), "attributes": torch.zeros_like(features.attributes)}
    empty |= {"entity": torch.full_like(features.entity, -1), "item_id": torch.zeros_like(features.item_id)}
    kept = {name: getattr(features, name) for name in ("item_id", "text", "attributes", "entity")}
    return ItemFeatures(**kept | {name: empty[name] for name in names})


def test_a_hidden_id_is_an_unseen_item() -> None:
    features = _features()
    hidden = model.item_vectors(features, torch.tensor([True, False, False, True]))
    known, unseen = model.item_vectors(features), model.item_vectors(_without(features, "item_id"))
    torch.testing.assert_close(hidden[[0, 3]], unseen[[0, 3]])
    torch.testing.assert_close(hidden[[1, 2]], known[[1, 2]])


def test_an_item_of_text_alone_lies_where_its_text_says() -> None:
    names = ("item_id", "attributes", "entity")
    features = _without(_features(), *names)
    vectors = model.item_vectors(features)
    assert (vectors.norm(dim=-1) > 0.1).all()
    again = ItemFeatures(features.item_id, features.text[[0, 0, 2, 3]], features.attributes, features.entity)
    torch.testing.assert_close(model.item_vectors(again)[1], vectors[0])
    assert not torch.allclose(vectors[0], vectors[2])


def test_every_part_of_an_item_is_read_unless_switched_off() -> None:
    features = _features()
    for name, switch in (("text", "text"), ("attributes", "attributes"), ("entity", "graph")):
        off = small_model(NetSettings.model_validate({switch: False}))
        assert not torch.allclose(model.item_vectors(_without(features, name)), model.item_vectors(features))
        torch.testing.assert_close(off.item_vectors(_without(features, name)), off.item_vectors(features))


def test_ids_may_start_from_given_vectors_and_the_unknown_stays_zero() -> None:
    tower = small_model(seed=3).item_tower
    tower.start_ids(torch.full((2, model.spec.dim), 5.0))
    assert (tower.id.weight[1:3] == 5.0).all()
    assert not tower.id.weight[0].any()
    assert (tower.id.weight[3:] != 5.0).all()


def test_features_are_taken_by_row() -> None:
    some = _features().take(torch.tensor([2, 0]))
    assert some.item_id.tolist() == [3, 1]
    assert some.entity.tolist() == [2, 0]
    assert ItemFeatures.of(
        np.ones(2, np.int64), np.zeros((2, 3), np.float32), np.zeros((2, 1), np.int32)
    ).entity.tolist() == [-1, -1]


def test_a_bag_is_the_mean_of_what_is_not_padding() -> None:
    bag = IdBag(4, 2)
    mean = bag(torch.tensor([[1, 3, 0, 0], [0, 0, 0, 0]]))
    torch.testing.assert_close(mean[0], (bag.table.weight[1] + bag.table.weight[3]) / 2)
    assert not mean[1].any()


def test_padding_of_a_bag_never_learns() -> None:
    bag = IdBag(3, 2)
    torch.autograd.backward(bag(torch.tensor([[1, 0]])).sum())
    assert bag.table.weight.grad is not None
    assert not bag.table.weight.grad[0].any()


def test_features_are_standardised_clipped_and_constant_columns_harmless() -> None:
    norm = Normaliser(2)
    norm.measure(torch.tensor([[8.0, 3.0], [12.0, 3.0]]))
    found = norm(torch.tensor([[12.0, 3.0], [1e9, 3.5]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0], [FEATURE_CLIP, 0.5]]))


def test_ranges_hold_equally_many_rows_and_tell_how_far_a_value_has_come() -> None:
    ranges, bins = PiecewiseLinear(2), PiecewiseLinear.BINS
    ranges.measure(torch.stack([torch.arange(8 * bins + 1.0), torch.full((8 * bins + 1,), 3.0)], dim=1))
    found = ranges(torch.tensor([[-5.0, 3.0], [12.0, 4.0], [1e9, 2.0]])).unflatten(-1, (2, bins))
    torch.testing.assert_close(found[:, 0].sum(-1), torch.tensor([-1.0, 2 * 12 / 8 / bins - 1, 1.0]) * bins)
    torch.testing.assert_close(found[1, 0, :3], torch.tensor([1.0, 0.0, -1.0]))
    torch.testing.assert_close(found[:, 1], torch.tensor([[-1.0], [1.0], [-1.0]]).expand(3, bins))


def test_a_range_of_one_value_is_a_step_that_rounding_does_not_cross() -> None:
    ranges = PiecewiseLinear(1)
    ranges.measure(torch.cat([torch.zeros(50, 1), torch.rand(50, 1)]))
    torch.testing.assert_close(ranges(torch.tensor([[1e-7]])), ranges(torch.zeros(1, 1)), atol=1e-3, rtol=0)


def test_the_trainer_measures_the_scales() -> None:
    own = small_model(seed=1)
    width, users = len(own.ranker.candidate_norm.mean), len(own.ranker.user_norm.mean)
    own.ranker.measure(torch.rand(5, users), torch.tensor([[-2.0], [6.0]]).expand(2, width))
    torch.testing.assert_close(own.ranker.candidate_norm(torch.full((1, width), 4.0)), torch.full((1, width), 0.5))


def test_readings_mean_what_their_task_says() -> None:
    values = TaskValues(TASKS)
    raw = torch.tensor([[0.7, 0.0, 0.0, -1.0], [-9.0, 60.0, 60.0, 3.0], [0.0, -60.0, -60.0, 0.0]])
    expected = torch.tensor([[0.7, 3.0, 3.0, -1.0], [-9.0, 5.0, 5.0, 3.0], [0.0, 1.0, 1.0, 0.0]])
    torch.testing.assert_close(values(raw), expected)


def test_logits_are_left_alone_where_no_task_is_bounded() -> None:
    raw = torch.randn(3, 2)
    logits = TaskValues([TASKS[0], TASKS[3]])(raw)
    assert logits is raw


def test_thresholds_stay_in_order_and_start_one_apart() -> None:
    values = TaskValues(TASKS)
    torch.testing.assert_close(values.thresholds(TASKS[1]), torch.tensor([-1.5, -0.5, 0.5, 1.5]))
    with torch.no_grad():
        values.steps[task_key("stars.5")].normal_(std=5.0)
    assert (values.thresholds(TASKS[1]).diff() >= 0).all()
    assert values.cumulative(TASKS[1], torch.zeros(2, 3)).shape == (2, 3, 4)


def test_an_ordinal_of_one_step_is_a_choice_of_two() -> None:
    task = TaskSpec(name="up", kind="ordinal", low=0, high=1)
    assert TaskValues([task])(torch.tensor([[math.log(3)]])).item() == pytest.approx(0.75)


def test_side_heads_read_towers() -> None:
    sides, spec = model.sides, model.spec
    vectors = torch.randn(3, spec.dim)
    assert sides.attribute_logits(vectors).shape == (3, spec.attribute_vocabulary)
    assert sides.profile_logits(vectors).shape == (3, spec.profile_vocabulary)
    assert [one.shape for one in sides.context_logits(vectors)] == [(3, 3), (3, 25)]


def test_a_domain_of_interactions_alone_has_a_model() -> None:
    bare = spec_of().model_copy(update={"attributes": (), "profile": (), "context": (), "text_fields": ()})
    plain = MultiTaskModel(bare, ITEMS).eval()
    assert plain.rank_logits(inputs_of("ranker", bare)).shape == (2, 7, len(TASKS))
    assert plain.user_vectors(inputs_of("user_tower", bare)).shape == (2, bare.dim)


@pytest.mark.parametrize("causal", [True, False])
def test_fading_means_are_means_of_real_events_that_fade_with_distance(causal: bool) -> None:
    means, events = FadingMeans(), torch.randn(1, 4, 3)
    means.sound(2.0)
    real = torch.tensor([[False, True, True, True]])
    found = means(events, real, newest_only=False, causal=causal)[0]
    for place in range(5):
        ages = [(at, place - at - 1 if causal else abs(place - at)) for at in (1, 2, 3)]
        expected = torch.zeros(3)
        for rate in FadingMeans.RATES:
            weights = {at: rate**age for at, age in ages if age >= 0}
            for at, weight in weights.items():
                expected += 2.0 / len(FadingMeans.RATES) * weight / sum(weights.values()) * events[0, at]
        torch.testing.assert_close(found[place], expected)
    newest = means(events, real, newest_only=True, causal=causal)
    torch.testing.assert_close(newest[:, 0], found[None, -1])
