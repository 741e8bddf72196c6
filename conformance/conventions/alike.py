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

#: So many elements are looked at first.
_SAMPLE = 1024


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
    found, want = np.asarray(found, np.float64), np.asarray(want, np.float64)
    size = np.abs(want) if size is None else size
    scale = max(float(np.max(np.abs(want), initial=0.0)), float(np.max(np.abs(found), initial=0.0)))
    step = max(1, found.size // _SAMPLE)
    if step > 1 and not _near(np.abs(found.ravel()[::step] - want.ravel()[::step]), scale):
        return None
    error = np.abs(found - want)
    if not _near(error, scale):
        return None
    largest = float(np.max(error, initial=0.0))
    if largest == 0:
        return Degree(0, 0.0)
    levels = (level for level, (eps, tiny) in enumerate(_DTYPES.values(), 1) if np.all(error <= eps * size + tiny))
    return Degree(next(levels, len(_DTYPES) + 1), largest)


def _near(error: Array, scale: float) -> bool:
    """Whether errors are small beside the largest weight; NaN is not."""
    return bool(np.all(error <= _NEAR * scale))
