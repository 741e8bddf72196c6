"""Layout: where each number is."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from conformance.cases.case import Case
from conformance.properties.model import prop
from conformance.reference.forward import lstm
from conformance.spec import Array, Result, numpy_dtype
from conformance.trials.calls import shape_error
from conformance.trials.outcomes import Violation
from conformance.trials.trial import Trial


class Oracle(NamedTuple):
    """A canonical result of which no part is missing."""

    output: Array
    h_n: Array
    c_n: Array


@prop("layout.shapes", every=1)
def shapes(trial: Trial) -> None:
    """output is (L, N, D·P) in x's layout; h_n is (layers·D, N, P) and c_n (layers·D, N, H), never batch-first.

    keras PR7387 drops an axis at L=1; onnx#5218 and openvino disagree on layout=1.
    """
    if error := shape_error(trial.case, trial.raw()):
        raise Violation(error)


@prop("layout.dtypes", every=1)
def dtypes(trial: Trial) -> None:
    """output, h_n and c_n have the config's dtype.

    A float32 result where float64 was asked for has lost half of its digits.
    """
    want = numpy_dtype(trial.case.config.dtype)
    for name, part in zip(Result._fields, trial.raw(), strict=True):
        if part is not None and part.dtype != want:
            raise Violation(f"{name} has dtype {part.dtype}, expected {want}")


@prop("layout.final-state", needs=("output", "h_n", "loop"), every=1)
def final_state(trial: Trial) -> None:
    """h_n of the last layer is exactly the output of each direction's last step: L−1 forward, 0 in reverse.

    returnn PR727 took the backward state from the wrong end; coremltools#263 returned zeros.
    """
    case, (output, h_n, _) = trial.case, trial.result
    assert output is not None
    assert h_n is not None
    P, D = case.config.output_size, case.config.num_directions
    rows = np.arange(case.batch)
    for direction in range(D):
        half = output[..., direction * P : (direction + 1) * P]
        last = half[0] if direction else half[case.row_lengths() - 1, rows]
        state = h_n[direction - D]
        if not np.array_equal(last, state, equal_nan=True):
            n, j = (int(k) for k in np.argwhere(~((last == state) | (np.isnan(last) & np.isnan(state))))[0])
            slot = (case.config.num_layers - 1) * D + direction
            raise Violation(
                f"h_n[{slot}, {n}, {j}] is {state[n, j]:.9g}, but the last output there is {last[n, j]:.9g}"
            )


@prop("layout.state-order", needs=("params", "slots"), when=lambda r: r.layers > 1 or r.bidirectional)
def state_order(trial: Trial) -> None:
    """h_n and c_n are ordered by layer, then by direction: layer 0 forward, layer 0 reverse, layer 1 forward.

    Frameworks that keep directions apart (ONNX, CoreML) get this order wrong when they convert.
    """
    ordinary = trial.resized(fill="normal", gain=1.0, view="plain")
    result = ordinary.result
    if ordinary.arithmetic is not None and ordinary.right():
        return
    expected = oracle_result(ordinary.case)
    for name, got, want in (("h_n", result.h_n, expected.h_n), ("c_n", result.c_n, expected.c_n)):
        if got is None:
            continue
        distances = np.abs(got[:, None] - want[None]).max(axis=(2, 3))
        nearest, slots = distances.argmin(axis=1), np.arange(len(want))
        moved = np.flatnonzero(nearest != slots)
        # A wrong value may happen to lie near another slot's: only a match that is clearly better than its own counts.
        clear = distances[moved, nearest[moved]] < 0.1 * np.maximum(distances[moved, moved] - 0.05, 0)
        if len(moved) and sorted(nearest) == list(slots) and clear.all():
            slot = moved[0]
            raise Violation(f"{name}[{slot}] holds what belongs at {name}[{nearest[slot]}]", case=ordinary.case)


@prop("layout.batch-first", needs=("batch_first", "time_major", "params"), when=lambda r: r.batch_first)
def batch_first(trial: Trial) -> None:
    """batch_first swaps the first two axes of the input and the output, and nothing else.

    pytorch#80306 swapped batch and time on MPS; openvino#37820 ignores layout=1.
    """
    case = trial.case
    time_major = replace(case, config=replace(case.config, batch_first=False))
    trial.require_same(trial.observe, usual=trial.observing(time_major))


@prop("layout.unbatched", needs=("unbatched",), when=lambda r: r.unbatched)
def unbatched(trial: Trial) -> None:
    """An unbatched sequence (L, I) gives what a batch of one row gives, without the batch axis; batch-first models too.

    keras PR7387 shows how easily an axis of one is lost.
    """
    batched = replace(trial.case, unbatched=False)
    trial.require_same(trial.observe, usual=trial.observing(batched))


def oracle_result(case: Case) -> Oracle:
    """The oracle's own result of a case, canonical."""
    config = replace(case.config, batch_first=False)
    output, (h_n, c_n) = lstm(config, case.params, case.x, case.state, case.lengths)
    return Oracle(output, h_n, c_n)
