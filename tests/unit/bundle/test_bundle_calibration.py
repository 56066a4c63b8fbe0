"""Calibration arithmetic: known answers, and what cannot be is refused."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from model.features.calibration import Calibration, Identity, Isotonic, Platt


def test_platt_is_a_logistic_curve() -> None:
    logits = np.asarray([[-1.0, 0.0], [1.0, 2.0]], np.float32)
    np.testing.assert_allclose(Platt(a=2.0, b=-1.0).apply(logits), 1 / (1 + np.exp(1 - 2 * logits)), rtol=1e-5)


def test_a_sigmoid_does_not_overflow() -> None:
    assert Platt(a=1.0, b=0.0).apply(np.asarray([-1e30, 0, 1e30], np.float32)).tolist() == [0.0, 0.5, 1.0]


def test_isotonic_is_linear_between_points_and_flat_outside() -> None:
    curve = Isotonic(x=(0.0, 1.0, 3.0), y=(0.1, 0.2, 0.8))
    np.testing.assert_allclose(curve.apply(np.asarray([-9, 0.5, 2, 9], np.float32)), [0.1, 0.15, 0.5, 0.8], rtol=1e-6)


def test_identity_changes_nothing() -> None:
    outputs = np.asarray([3.5, -1], np.float32)
    assert Identity().apply(outputs).tolist() == outputs.tolist()


@pytest.mark.parametrize(("x", "y"), [((0.0, 1.0), (0.0,)), ((1.0, 0.0), (0.0, 1.0)), ((), ())])
def test_isotonic_points_must_make_a_curve(x: tuple[float, ...], y: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match=r"x must ascend|at least 1"):
        Isotonic(x=x, y=y)


def test_kind_says_which_one() -> None:
    adapter: TypeAdapter[Calibration] = TypeAdapter(Calibration)
    assert adapter.validate_python({"kind": "platt", "a": 1, "b": 0}) == Platt(a=1.0, b=0.0)
    with pytest.raises(ValidationError, match="'platt', 'isotonic', 'identity'"):
        adapter.validate_python({"kind": "beta"})
