"""The forms in which vectors are written: what calls each can express, and how its users compare."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from conformance.cases.case import Case
from conformance.vectors.vector import Vector

#: The options that a set may do without, each with what a case has that uses it.
OPTIONS = (
    *("layers", "bidirectional", "no_bias", "batch_first", "unbatched", "projection"),
    *("initial_state", "lengths", "dropout", "nonfinite"),
)

#: ONNX's runner compares with an rtol and an atol for each test: with this one, and the smallest atol that suffices.
ONNX_RTOL = 1e-5

#: WebNN's tests compare with one tolerance for an operator and dtype: this one, ten times the smallest bound.
WEBNN_ATOL = 1e-5


def uses(vector: Vector) -> frozenset[str]:
    """The options that a vector's call uses."""
    case: Case = vector.case
    config = case.config
    used = {
        "layers": config.num_layers > 1,
        "bidirectional": config.bidirectional,
        "no_bias": not config.bias,
        "batch_first": config.batch_first,
        "unbatched": case.unbatched,
        "projection": config.proj_size > 0,
        "initial_state": case.state is not None,
        "lengths": case.lengths is not None,
        "dropout": config.dropout > 0,
        "nonfinite": not vector.finite,
    }
    return frozenset(name for name, on in used.items() if on)


@dataclass(frozen=True)
class Form:
    """Files that can express the same calls and are compared in the same way."""

    name: str
    #: The formats of these files.
    formats: tuple[str, ...]
    #: The options that they cannot express.
    lacks: frozenset[str]
    #: How their users compare, in words.
    compared: str
    dtypes: tuple[str, ...] = ("float32", "float64")

    def expresses(self, vector: Vector) -> bool:
        """Whether a vector's call can be written in this form."""
        return not uses(vector) & self.lacks and vector.case.config.dtype in self.dtypes

    def tolerances(self, vector: Vector) -> tuple[np.ndarray | float, ...] | None:
        """How far output, h_n and c_n may be off, as users of this form compare; None if that is less than the bound.

        A form with one tolerance takes only vectors whose bound is within it: no correct LSTM fails. Where a bound is
        infinite, nothing is known.
        """
        if not np.isfinite(vector.largest_bound):
            return None
        if self is WEBNN:
            return (WEBNN_ATOL,) * 3 if vector.largest_bound <= WEBNN_ATOL else None
        if self is ONNX:
            wants = (np.abs(np.asarray(want, np.float64)) for want in vector.expectations.want)
            return tuple(onnx_atol(vector) + ONNX_RTOL * np.where(np.isfinite(want), want, 0.0) for want in wants)
        return tuple(np.asarray(bound, np.float64) for bound in vector.expectations.bound)


def onnx_atol(vector: Vector) -> float:
    """The smallest atol with which every bound is within atol + ``ONNX_RTOL``·|want|, rounded up to two digits."""
    least = 0.0
    for want, bound in zip(*vector.expectations, strict=True):
        allowed = ONNX_RTOL * np.abs(np.where(np.isfinite(want), want, 0.0), dtype=np.float64)
        least = max(least, float(np.max(bound - allowed, initial=0.0)))
    return 0.0 if not least else _rounded_up(least)


def _rounded_up(number: float) -> float:
    """Two digits of a number, not less than it."""
    digit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return float(f"{math.ceil(number / digit + 1e-9) * digit:.1e}")


ELEMENTWISE = Form("by element", ("safetensors", "json", "npz", "c"), frozenset(), "each number by its own bound")

ONNX = Form(
    "ONNX",
    ("onnx",),
    frozenset(("layers", "batch_first", "unbatched", "projection", "dropout")),
    f"rtol {ONNX_RTOL:g}, and for each vector the smallest atol that its bounds are within",
)

WEBNN = Form(
    "WebNN",
    ("webnn",),
    frozenset(("layers", "batch_first", "unbatched", "projection", "dropout", "lengths", "nonfinite")),
    f"one atol for all, {WEBNN_ATOL:g}",
    ("float32",),
)

FORMS = (ELEMENTWISE, ONNX, WEBNN)
