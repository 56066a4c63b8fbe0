"""Loops over a history and a few hundred candidates, for training and serving: native where they could be built.

`_native.c` is built with the package where there is a C compiler (pyproject.toml, "ext-modules"); without one the numpy
functions of `reference` run, to the same numbers at several times the cost. Results are written into arrays that the
caller brings, so that a column of a matrix needs no copy. Arrays must be C-contiguous and of the kinds named there.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

NATIVE = find_spec(f"{__name__}._native") is not None

if TYPE_CHECKING or not NATIVE:
    from model.features.kernels.reference import (
        best,
        blend,
        counted,
        crosses,
        echoed,
        evidence,
        gaps,
        habits,
        leanings,
        merge,
        nearest,
        neighbours,
        own_lifts,
        platt,
        scaled,
        take,
        valued,
    )
else:
    from model.features.kernels._native import (
        best,
        blend,
        counted,
        crosses,
        echoed,
        evidence,
        gaps,
        habits,
        leanings,
        merge,
        nearest,
        neighbours,
        own_lifts,
        platt,
        scaled,
        take,
        valued,
    )

__all__ = [
    "NATIVE", "best", "blend", "counted", "crosses", "echoed", "evidence", "gaps", "habits", "leanings", "merge",
    "nearest", "neighbours", "own_lifts", "platt", "scaled", "take", "valued",
]  # fmt: skip
