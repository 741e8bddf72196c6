"""Where a finding is farthest beyond its bound, as a fact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from conformance.bounds.forward import Finding
from conformance.cases.case import Case
from conformance.facts import Mismatch
from conformance.spec import Array, LSTMConfig

#: How the names of tensors end that have an axis of layers and directions.
_STATES = ("h_n", "c_n", "h_0", "c_0")


def telling(finding: Finding) -> Array:
    """The errors as shares of their bounds, 0 where no number is expected.

    What an implementation makes of its own first NaN is expected to be NaN, and tells nothing of its defect.
    """
    return np.where(np.isfinite(finding.expected) & np.isfinite(finding.bound), finding.ratios(), 0.0)


def mismatch(finding: Finding, case: Case, shares: Array | None = None) -> Mismatch:
    """Where a finding is farthest beyond its bound, by ``shares`` if they are given, and what was expected there."""
    at = np.unravel_index(int(np.argmax(telling(finding) if shares is None else shares)), finding.actual.shape)
    index, config = place(finding, at, case.config), case.config
    step = row = None
    if finding.tensor == "output":
        step, row = index[:2]
    elif finding.tensor.endswith(_STATES):
        row = index[1]
    expected, actual, bound = (number(part[at]) for part in (finding.expected, finding.actual, finding.bound))
    return Mismatch(
        *(finding.tensor, index, expected, actual, bound),
        *(finding.layer, finding.direction, step, row, finding.layers, config.num_layers),
    )


def place(finding: Finding, at: Sequence[Any], config: LSTMConfig) -> tuple[int, ...]:
    """Where an element of a finding stands in the tensor that was returned, in canonical layout."""
    index = [int(k) for k in at]
    if finding.tensor == "output":
        index[-1] += finding.direction * config.output_size
    elif finding.tensor.endswith(_STATES):
        index.insert(0, finding.layer * config.num_directions + finding.direction)
    return tuple(index)


def number(value: Any) -> float:
    """A float; the very nan that ``math`` has, so that facts can be compared."""
    return math.nan if np.isnan(value) else float(value)
