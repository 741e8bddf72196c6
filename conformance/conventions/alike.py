"""How alike two arrays of weights are: equal, rounded to a dtype, near, or not at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from conformance.spec import Array

#: The dtypes to which weights are rounded: the largest relative error, and the largest one near zero.
_DTYPES = {
    "float64": (2.0**-52, 2.0**-1074),
    "float32": (2.0**-23, 2.0**-149),
    "float16": (2.0**-10, 2.0**-24),
    "bfloat16": (2.0**-7, 2.0**-133),
}

#: The difference up to which weights are near, as a share of the largest: half a step of int8 is 1/254.
_NEAR = 1 / 32

#: Along each axis, so many elements are looked at first.
_SAMPLE = 32


class Degree(NamedTuple):
    """How alike two arrays are: the smaller, the more."""

    #: 0 equal, 1 and more rounded to a dtype, then near.
    level: int
    #: The largest difference.
    largest: float

    @property
    def dtype(self) -> str:
        """The dtype to which the one is rounded, or nothing."""
        return [*_DTYPES][self.level - 1] if 1 <= self.level <= len(_DTYPES) else ""


def degree(found: Array, want: Array, size: Array | None = None) -> Degree | None:
    """How alike two arrays are, or None if they are not; errors are judged as shares of ``size``, that of ``want``."""
    scale = max(largest(found), largest(want))
    if not np.isfinite(scale):
        # No error is small beside an infinite weight.
        return Degree(0, 0.0) if np.array_equal(found, want, equal_nan=True) else None
    sample = tuple(slice(None, None, max(1, length // _SAMPLE)) for length in found.shape)
    if not near(_error(found[sample], want[sample]), scale):
        return None
    error = _error(found, want)
    if not near(error, scale):
        return None
    worst = float(np.max(error, initial=0.0))
    if worst == 0:
        return Degree(0, 0.0)
    size = np.abs(np.asarray(want, np.float64)) if size is None else size
    levels = (level for level, (eps, tiny) in enumerate(_DTYPES.values(), 1) if np.all(error <= eps * size + tiny))
    return Degree(next(levels, len(_DTYPES) + 1), worst)


def near(error: Array, scale: float) -> bool:
    """Whether errors are small beside the largest weight; NaN is not."""
    return bool(np.all(error <= _NEAR * scale))


def largest(array: Array) -> float:
    """The largest magnitude in an array, 0 of an empty one; NaN if one is in it."""
    return max(abs(float(np.max(array))), abs(float(np.min(array)))) if array.size else 0.0


def _error(found: Array, want: Array) -> Array:
    return np.abs(np.asarray(found, np.float64) - np.asarray(want, np.float64))
