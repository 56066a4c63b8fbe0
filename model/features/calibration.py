"""From a head's raw output to the number shown: one arithmetic for evaluation and serving, stored in the manifest."""

from functools import cached_property
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from model.features import kernels
from model.features.spec import Frozen


class Platt(Frozen):
    """p = sigmoid(a · logit + b) (Platt 1999)."""

    kind: Literal["platt"] = "platt"
    a: float
    b: float

    def apply(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of raw logits; any shape."""
        made = np.empty(outputs.shape, np.float32)
        kernels.platt(np.asarray(outputs, np.float32).reshape(-1), self.a, self.b, made.reshape(-1))
        return made


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
        return np.interp(outputs, *self._curve).astype(np.float32)

    @cached_property
    def _curve(self) -> NDArray[np.float64]:
        """x and y, [2, n]."""
        return np.asarray([self.x, self.y])


class Identity(Frozen):
    """The raw output is the value (regression and ordinal tasks)."""

    kind: Literal["identity"] = "identity"

    def apply(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs themselves; any shape."""
        return np.asarray(outputs, np.float32)


Calibration: TypeAlias = Annotated[Platt | Isotonic | Identity, Field(discriminator="kind")]
