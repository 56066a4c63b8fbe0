"""From a head's raw output to the number shown: one arithmetic for evaluation and serving, stored in the manifest."""

from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from model.features.spec import Frozen


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logistic function that does not overflow; any shape."""
    half: NDArray[np.float32] = 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, np.float32)))
    return half


class Platt(Frozen):
    """p = sigmoid(a · logit + b) (Platt 1999)."""

    kind: Literal["platt"] = "platt"
    a: float
    b: float

    def apply(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of raw logits; any shape."""
        return sigmoid(self.a * outputs + self.b)


class Isotonic(Frozen):
    """Piecewise linear through (x, y), flat outside; x are raw outputs, ascending."""

    kind: Literal["isotonic"] = "isotonic"
    x: tuple[float, ...] = Field(min_length=1)
    y: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _same_length(self) -> "Isotonic":
        if len(self.x) != len(self.y) or any(left > right for left, right in zip(self.x, self.x[1:], strict=False)):
            raise ValueError("isotonic calibration: x must ascend and be as long as y")
        return self

    def apply(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated values of raw outputs; any shape."""
        return np.interp(outputs, self.x, self.y).astype(np.float32)


class Identity(Frozen):
    """The raw output is the value (regression and ordinal tasks)."""

    kind: Literal["identity"] = "identity"

    def apply(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs themselves; any shape."""
        return np.asarray(outputs, np.float32)


Calibration: TypeAlias = Annotated[Platt | Isotonic | Identity, Field(discriminator="kind")]
