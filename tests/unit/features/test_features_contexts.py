"""Contexts: which items are met where, how sure that is, and what is unknown."""

from pathlib import Path

import numpy as np
import pytest

from model.features.contexts import MOST_VALUES, PRIOR_EVENTS, Contexts
from model.features.counters import ItemCounters
from model.features.spec import ChannelSpec, ContextSpec, FeatureSpec, TaskSpec

DAYTIMES = ("morning", "evening", "night")
SPEC = FeatureSpec(
    event_types=("use",),
    tasks=(TaskSpec(name="interest", kind="binary"),),
    context=(ContextSpec(name="daytime", values=DAYTIMES), ContextSpec(name="place", values=("home",))),
    channels=(ChannelSpec(name="tower", kind="tower"),),
)
# item 0 in the morning, item 1 in the evening, item 2 once in the morning and once nobody knows when; nobody at night
ROWS = np.asarray([0] * 40 + [1] * 40 + [2, 2])
CONTEXT = np.asarray([[1, 0]] * 40 + [[2, 0]] * 40 + [[1, 0], [0, 0]])


PLAIN = np.zeros((4, 1), np.int32)  # no attributes


def told(made: Contexts, rows: list[int], context: list[int]) -> np.ndarray:
    out = np.full((len(rows), 2), 9.0, np.float32)
    made.fill(np.asarray(rows), np.asarray(context), out)
    return out


def test_an_item_stands_out_where_it_is_met_more_than_others() -> None:
    made = Contexts.of(SPEC, PLAIN, ROWS, CONTEXT)
    morning = told(made, [0, 1, 2, 3], [1, 0])[:, 0]
    usual = 41 / 81
    expected = [np.log((count + PRIOR_EVENTS * usual) / (size + PRIOR_EVENTS) / usual) for count, size in
                ((40, 40), (0, 40), (1, 1))]  # fmt: skip
    np.testing.assert_allclose(morning, [*expected, 0.0], rtol=1e-3)
    assert morning[0] > morning[2] > 0 > morning[1]  # one event says less than forty
    assert told(made, [0, 1], [2, 0])[0, 0] < 0 < told(made, [0, 1], [2, 0])[1, 0]


def test_what_is_met_seldom_is_taken_for_its_like() -> None:
    # items 0 and 1 are an alarm and a film as before, item 2 is met once in the evening, item 3 never
    rows, context = np.asarray([0] * 40 + [1] * 40 + [2]), np.asarray([[1, 0]] * 40 + [[2, 0]] * 41)
    alone = told(Contexts.of(SPEC, PLAIN, rows, context), [2], [1, 0])[0, 0]
    of_alarms, of_films = (
        told(Contexts.of(SPEC, np.asarray([[1], [2], [kind], [kind]], np.int32), rows, context), [0, 2, 3], [1, 0])[
            :, 0
        ]
        for kind in (1, 2)
    )
    assert of_alarms[1] > 0 > alone > of_films[1]
    assert of_alarms[2] == of_films[2] == 0
    assert of_alarms[0] == pytest.approx(of_films[0], abs=0.1)  # who is known speaks for itself


def test_what_is_unknown_or_never_happened_says_nothing() -> None:
    made = Contexts.of(SPEC, PLAIN, ROWS, CONTEXT)
    for context in ([0, 0], [3, 0], [0, 1], [99, 99]):
        assert not told(made, [0, 1, 2, 3, 4, 700], context).any()  # 4 and 700 lie beyond the catalogue
    assert not told(made, [5], [1, 1]).any()


def test_the_rarest_values_are_not_counted() -> None:
    many = tuple(f"v{place}" for place in range(MOST_VALUES + 5))
    spec = SPEC.model_copy(update={"context": (ContextSpec(name="city", values=many),)})
    made = Contexts.of(spec, PLAIN[:2], np.asarray([0, 1] * 5), np.asarray([[1], [MOST_VALUES + 1]] * 5))
    assert made.lift.shape == (MOST_VALUES + 1, 2)
    out = np.empty((2, 1), np.float32)
    made.fill(np.asarray([0, 1]), np.asarray([MOST_VALUES + 1]), out)
    assert not out.any()


def test_counters_keep_them(tmp_path: Path) -> None:
    counters = ItemCounters.empty(4, 1, (60.0,))
    counters.save(tmp_path / "none")
    assert ItemCounters.open(tmp_path / "none").contexts is None
    counters.contexts = Contexts.of(SPEC, PLAIN, ROWS, CONTEXT)
    counters.save(tmp_path / "some")
    again = ItemCounters.open(tmp_path / "some").contexts
    assert again is not None
    assert told(again, [0], [1, 0])[0, 0] == pytest.approx(told(counters.contexts, [0], [1, 0])[0, 0])
