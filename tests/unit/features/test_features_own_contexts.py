"""In which contexts a user turns to what: known answers by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.events import History
from model.features.contexts import Contexts
from model.features.own_contexts import MOST_SHARE, PRIOR_OWN, PRIOR_USER, own_lifts

HOME, WORK = 1, 2
USUAL = np.asarray([0, 0.5, 0.5, 0, 0.25, 0.75, 0.0], np.float32)  # two columns: of two values, of three
CONTEXTS = Contexts(np.zeros((7, 5), np.float16), np.asarray([0, 3, 7]), USUAL)
ATTRIBUTES = np.asarray([[1, 0], [2, 0], [1, 2], [0, 0], [2, 0]], np.int32)
# Item 0 four times at home, item 1 three times at work, and once more who knows where.
ROWS, PLACES = np.asarray([0, 0, 1, 0, 1, 0, 1, 1]), np.asarray([1, 1, 2, 1, 2, 1, 2, 0])


def history(places: NDArray[np.int64] = PLACES) -> History:
    """The events, the second column never told."""
    contexts = np.stack([places, np.zeros_like(places)], axis=1)
    return History.of(ROWS, np.ones(8, int), np.full(8, np.nan, np.float32), np.arange(8.0), contexts)


def told(asked: list[int], candidates: list[int], of: History | None = None, lift: float = 0.0) -> NDArray[np.float32]:
    """The columns [C, 4] of some candidates."""
    mine, rows = history() if of is None else of, np.asarray(candidates)
    out, lifts = np.full((len(rows), 4), np.nan, np.float32), np.full((len(rows), 2), lift, np.float32)
    own_lifts(CONTEXTS, mine, ATTRIBUTES[mine.rows], np.asarray(asked), rows, ATTRIBUTES[rows], lifts, out)
    return out


def test_what_is_used_at_home_is_offered_there_and_not_at_work() -> None:
    at_home, at_work = told([HOME, 0], [0, 1, 3]), told([WORK, 0], [0, 1, 3])
    assert at_home[0, 0] > 0 > at_home[1, 0]
    assert at_work[1, 0] > 0 > at_work[0, 0]
    assert at_home[2, 0] == at_work[2, 0] == 0  # never used
    share = (4 + PRIOR_USER / 2) / (7 + PRIOR_USER)  # the user's own share of home, of seven that tell
    assert at_home[0, 0] == pytest.approx(np.log((4 + PRIOR_OWN * share) / ((4 + PRIOR_OWN) * share)), rel=1e-5)


def test_what_shares_attributes_is_like_what_was_used() -> None:
    like = told([HOME, 0], [2, 3, 4])[:, 1]
    first, second = told([HOME, 0], [0, 1])[:, 1]
    assert first > 0 > second
    assert like[0] == pytest.approx((first + second) / 2, rel=1e-5)  # one attribute of each
    assert like[1] == 0
    assert like[2] == pytest.approx(second)


def test_what_all_users_do_there_is_expected_already() -> None:
    plain, expected = told([HOME, 0], [0])[0, 0], told([HOME, 0], [0], lift=0.3)[0, 0]
    assert 0 < expected < plain
    assert told([HOME, 0], [0], lift=9.0)[0, 0] == pytest.approx(
        np.log((4 + 2 * MOST_SHARE) / (6 * MOST_SHARE)), rel=1e-4
    )


def test_a_context_that_nothing_is_known_of_says_nothing() -> None:
    assert (told([0, 0], [0, 1]) == 0).all()  # the request tells none
    assert (told([0, 1], [0, 1])[:, 2:] == 0).all()  # the history tells none
    assert (told([HOME, 3], [0, 1])[:, 2:] == 0).all()  # nobody was ever there
    assert (told([HOME, 0], [0, 1], History.of()) == 0).all()
    assert (
        told([HOME, 0], [0, 1], History.of(ROWS, np.ones(8, int), np.ones(8, np.float32), np.arange(8.0))) == 0
    ).all()


def test_a_candidate_that_stands_there_twice_reads_the_same_twice() -> None:
    many = told([HOME, 0], [1, 0, 1])
    np.testing.assert_array_equal(many[0], many[2])
    np.testing.assert_array_equal(many[1], told([HOME, 0], [0])[0])
