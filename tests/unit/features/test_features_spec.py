"""The feature spec: ids of attributes, profile, context and gaps; its digest is the schema."""

import numpy as np
import pytest

from model.features.spec import AttributeSpec, ChannelSpec, ContextSpec, FeatureSpec, TaskSpec, plain

SPEC = FeatureSpec(
    event_types=("view", "like"),
    tasks=(TaskSpec(name="interest", kind="binary", blend=1.0),),
    attributes=(
        AttributeSpec(name="genres", kind="multi", values=("Comedy", "Drama"), offset=1),
        AttributeSpec(name="year", kind="numeric", edges=(1980.0, 1990.0), offset=3),
    ),
    profile=(AttributeSpec(name="gender", kind="categorical", values=("F", "M"), offset=1),),
    context=(ContextSpec(name="hour", values=("0", "18")),),
    max_attributes=4,
    max_profile=2,
    channels=(ChannelSpec(name="tower", kind="tower"),),
)


def test_attribute_ids_are_global_and_padded() -> None:
    assert SPEC.attribute_ids({"genres": ["Drama", "Comedy"], "year": 1985}).tolist() == [2, 1, 4, 0]


@pytest.mark.parametrize(("year", "number"), [(1979, 3), (1980, 4), (1990.5, 5), ("1995", 5)])
def test_numbers_fall_into_bins(year: float | str, number: int) -> None:
    assert SPEC.attribute_ids({"year": year}).tolist() == [number, 0, 0, 0]


def test_unknown_values_names_and_nothing_are_left_out() -> None:
    assert SPEC.attribute_ids({"genres": ["Noir"], "colour": "red"}).tolist() == [0, 0, 0, 0]


def test_too_many_values_are_cut() -> None:
    assert len(SPEC.attribute_ids({"genres": ["Drama"] * 9})) == 4


def test_profile_and_context() -> None:
    assert SPEC.profile_ids({"gender": "M"}).tolist() == [2, 0]
    assert SPEC.context_ids({"hour": 18}).tolist() == [2]
    assert SPEC.context_ids({"hour": 3}).tolist() == [0]
    assert SPEC.model_copy(update={"context": ()}).context_ids({"hour": 3}).tolist() == [0]


def test_gaps() -> None:
    assert SPEC.gap_ids(np.asarray([np.nan, -5.0, 0.5, 1.0, 1e12])).tolist() == [0, 1, 1, 2, SPEC.gap_vocabulary - 1]


def test_vocabulary_sizes_count_the_padding() -> None:
    assert (SPEC.attribute_vocabulary, SPEC.profile_vocabulary) == (6, 3)
    assert SPEC.type_id("like") == 2
    assert SPEC.type_id("share") == 0


def test_digest_follows_the_content() -> None:
    assert SPEC.digest() == FeatureSpec.model_validate_json(SPEC.model_dump_json()).digest()
    assert SPEC.digest() != SPEC.model_copy(update={"dim": 32}).digest()


@pytest.mark.parametrize(
    ("value", "text"), [(None, None), ("1995.0", "1995.0"), (3.0, "3"), (2.5, "2.5"), (True, "true")]
)
def test_plain(value: str | float | bool | None, text: str | None) -> None:
    assert plain(value) == text
