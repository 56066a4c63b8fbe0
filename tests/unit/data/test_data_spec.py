"""The feature spec: vocabularies of the training part, and tables encoded as serving encodes records."""

from pathlib import Path

import numpy as np
import pytest

from model.config import Recipe
from model.data import TEST, TRAIN, VALID, Dataset, load
from model.data.spec import attribute_table, blend_of, build_spec, context_table, profile_table
from model.features.spec import ChannelSpec
from tests.domains import EVENTS, TASK, log, recipe, table
from tests.worlds import GENRES, write_shop, write_world


@pytest.fixture(scope="module", params=[write_world, write_shop])
def domain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Dataset]:
    made = Recipe.load(request.param(tmp_path_factory.mktemp("domain")))
    return made, load(made)


def test_whole_tables_are_encoded_as_single_records_are(domain: tuple[Recipe, Dataset]) -> None:
    made, data = domain
    spec = build_spec(made, data)
    attributes = attribute_table(spec, data.item_records, len(data.items))
    profiles = profile_table(spec, data.user_records, len(data.users))
    for row in range(len(data.items)):
        np.testing.assert_array_equal(attributes[row], spec.attribute_ids(data.item_records.attributes(row)))
    for row in range(len(data.users)):
        np.testing.assert_array_equal(profiles[row], spec.profile_ids(data.user_records.attributes(row)))


def test_contexts_are_encoded_as_requests_are(domain: tuple[Recipe, Dataset]) -> None:
    made, data = domain
    spec, some = build_spec(made, data), data.log.take(slice(0, 200))
    found = context_table(spec, data, some)
    for row in range(len(some)):
        codes = zip(data.context_names, data.context_values, some.context[row].tolist(), strict=True)
        context = {name: values[code] for name, values, code in codes if code >= 0}
        np.testing.assert_array_equal(found[row], spec.context_ids(context))


def test_the_worlds_spec_is_its_recipes(tmp_path: Path) -> None:
    made = Recipe.load(write_world(tmp_path))
    spec = build_spec(made, load(made), text_dim=7)
    assert spec.event_types == ("rating",)
    assert [(task.name, task.blend, task.low, task.high) for task in spec.tasks] == [
        ("interest", 1.0, 0, 1),
        ("like", 0.3, 0, 1),
        ("rating", 0.0, 1, 5),
    ]
    assert set(spec.attributes[0].values) == set(GENRES)
    assert spec.attributes[1].offset == 1 + len(GENRES)
    assert (spec.value_low, spec.value_high) == (1, 5)
    assert (spec.dim, spec.text_dim, spec.history_length, spec.rank_history) == (16, 7, 20, 10)
    assert (spec.max_attributes, spec.max_profile) == (2, 2)
    assert [channel.name for channel in spec.channels] == ["tower", "cooccurrence", "ease", "graph", "content"]


def test_channels_are_the_recipes_or_those_given(tmp_path: Path) -> None:
    log(tmp_path, "a,x,1", "a,y,2")
    made = recipe(tmp_path, training={"channels": {"ease": {"enabled": False}, "cooccurrence": {"decay": 0.5}}})
    data = load(made)
    spec = build_spec(made, data)
    assert [(one.name, one.kind, one.decay) for one in spec.channels] == [
        ("tower", "tower", 0.8),
        ("cooccurrence", "neighbours", 0.5),
    ]
    given = [ChannelSpec(name="only", kind="neighbours")]
    assert build_spec(made, data, given).channels == tuple(given)


def test_vocabularies_hold_nothing_that_training_has_not_seen(tmp_path: Path) -> None:
    log(tmp_path, *(f"a,x,{time},BR" for time in range(8)), "b,y,8,US", "c,z,9,DE", header="u,i,t,country")
    table(tmp_path / "items.csv", "id,kind,price", "x,old,1", "y,newer,2", "z,newest,3")
    table(tmp_path / "users.csv", "id,sex", "a,F", "b,M", "c,X")
    items = {"path": "items.csv", "id": "id", "categorical": ["kind"], "numeric": ["price"]}
    users = {"path": "users.csv", "id": "id", "categorical": ["sex"]}
    made = recipe(tmp_path, {**EVENTS, "context": ["country"]}, items=items, users=users)
    data = load(made)
    spec = build_spec(made, data)
    assert (spec.attributes[0].values, spec.profile[0].values, spec.context[0].values) == (("old",), ("F",), ("BR",))
    both = build_spec(made, data, parts=(TRAIN, VALID))
    assert (both.attributes[0].values, both.context[0].values) == (("newer", "old"), ("BR", "US"))
    assert both.digest() != spec.digest()
    all_parts = build_spec(made, data, parts=(TRAIN, VALID, TEST))
    assert len(all_parts.attributes[1].edges) > len(spec.attributes[1].edges)


def test_a_vocabulary_is_cut_to_its_most_frequent_values(tmp_path: Path) -> None:
    log(tmp_path, *(f"a,{'xyz'[time % 3]},{time}" for time in range(9)), "a,x,9")
    table(tmp_path / "items.csv", "id,tags", "x,p|q", "y,q|r", "z,q|r|s")
    items = {"path": "items.csv", "id": "id", "multi": {"tags": "|"}}
    made = recipe(tmp_path, items=items, training={"max_values": 2, "max_attributes": 2})
    spec = build_spec(made, load(made))
    assert spec.attributes[0].values == ("q", "r")
    assert spec.max_attributes == 2


def test_a_log_without_values_and_labels_has_ranges_all_the_same(tmp_path: Path) -> None:
    log(tmp_path, *(f"a,x,{time}" for time in range(10)))
    tasks: list[dict[str, object]] = [
        TASK,
        {"name": "r", "kind": "regression", "label": "t", "given": "t > 99"},
        {"name": "o", "kind": "ordinal", "label": "t", "low": 9},
    ]
    made = recipe(tmp_path, tasks=tasks)
    spec = build_spec(made, load(made))
    assert (spec.value_low, spec.value_high) == (0, 1)
    assert [(task.low, task.high) for task in spec.tasks] == [(0, 1), (0, 1), (9, 10)]
    assert not spec.attributes + spec.profile
    assert not spec.context
    assert attribute_table(spec, load(made).item_records, 1).tolist() == [[0]]


@pytest.mark.parametrize(("largest", "expected"), [(130, (1, 130)), (99_999, (6, 95))])
def test_values_that_lie_far_out_are_no_scale_for_the_others(
    tmp_path: Path, largest: int, expected: tuple[float, float]
) -> None:
    plays = [*range(1, 101), largest]
    log(tmp_path, *(f"a,x{place},{place},{value}" for place, value in enumerate(plays)), header="u,i,t,plays")
    made = recipe(tmp_path, {**EVENTS, "value": "plays"}, split={"kind": "leave_last"})
    data = load(made)
    whole = build_spec(made, data, parts=(TRAIN, VALID, TEST))
    assert (whole.value_low, whole.value_high) == pytest.approx(expected, abs=1.1)


@pytest.mark.parametrize(
    ("blend", "serving", "expected"),
    [
        ((None, None), {}, (1.0, 1.0)),
        ((0.5, None), {}, (0.5, 0.0)),
        ((0.5, None), {"b": 2.0}, (0.0, 2.0)),
    ],
)
def test_the_blend_is_servings_then_the_tasks_then_equal(
    tmp_path: Path, blend: tuple[float | None, ...], serving: dict[str, float], expected: tuple[float, ...]
) -> None:
    tasks = [{**TASK, "name": name, "blend": value} for name, value in zip("ab", blend, strict=True)]
    made = recipe(tmp_path, tasks=tasks, serving={"blend": serving})
    assert (blend_of(made, "a"), blend_of(made, "b")) == expected
