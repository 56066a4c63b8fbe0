"""What each kernel does, in numpy: the definition that the native ones are held to, and their stand-in."""

from model.features.kernels.reference.choice import (
    DENSE_ITEMS,
    best,
    blend,
    echoed,
    evidence,
    merge,
    nearest,
    neighbours,
    platt,
    take,
)
from model.features.kernels.reference.history import counted, crosses, gaps, habits, leanings, own_lifts, scaled, valued

__all__ = [
    "DENSE_ITEMS",
    "best",
    "blend",
    "counted",
    "crosses",
    "echoed",
    "evidence",
    "gaps",
    "habits",
    "leanings",
    "merge",
    "nearest",
    "neighbours",
    "own_lifts",
    "platt",
    "scaled",
    "take",
    "valued",
]
