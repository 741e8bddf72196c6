"""State: the initial state of a sequence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.properties.layout import oracle_result
from conformance.properties.model import prop
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial

_NEEDS = ("initial_state", "values")


@prop("state.none-is-zeros", needs=_NEEDS)
def none_is_zeros(trial: Trial) -> None:
    """No initial state means zeros.

    mlx#3249: None and zeros gave different results.
    """
    without = trial.derived(state="none")
    without.require_same(without.observing(replace(without.case, state=without.case.initial())))


@prop("state.h-alone", needs=_NEEDS)
def h_alone(trial: Trial) -> None:
    """An h_0 beside a zero c_0 is used.

    onnx-tensorflow#408 needed both; ONNX's vectors accept a model that ignores h_0.
    """
    _starts_from(trial, "h")


@prop("state.c-alone", needs=_NEEDS)
def c_alone(trial: Trial) -> None:
    """A c_0 beside a zero h_0 is used.

    nni PR2842 and burn PR5234 swapped h and c; ONNX's vectors accept a model that ignores c_0.
    """
    _starts_from(trial, "c")


@prop("state.slots", needs=_NEEDS)
def slots(trial: Trial) -> None:
    """Each layer, direction and row starts from its own h_0 and c_0.

    opencv#21118 used one layer's state for all; onnx-tensorflow#409 confused the directions.
    """
    start = trial.derived(state="both")
    assert start.case.state is not None
    h_0, c_0 = (np.zeros_like(part) for part in start.case.state)
    slot, row = trial.pick("slot", h_0.shape[0]), trial.pick("row", h_0.shape[1])
    h_0[slot, row], c_0[slot, row] = (part[slot, row] for part in start.case.state)
    start.case = replace(start.case, state=(h_0, c_0))
    _right_if_right_without(trial, start)


@prop("state.carry", needs=(*_NEEDS, "params", "c_n"), when=lambda r: r.bias)
def carry(trial: Trial) -> None:
    """With f = 1 and i = 0 the cell is carried through every step unchanged.

    That is the purpose of an LSTM. A forget gate with a hidden offset, or a cell that is clipped or decays, breaks it.
    """
    kept = trial.derived(fill="carry", state="both")
    kept.require([finding for finding in kept.findings() if finding.tensor == "c_n"], kept.case)


def _starts_from(trial: Trial, which: str) -> None:
    _right_if_right_without(trial, trial.derived(state=which))


def _right_if_right_without(trial: Trial, start: Trial) -> None:
    """A call with an initial state must be right, if the same call without one is right.

    If that is wrong too, the state must only not be ignored where it matters.
    """
    if start.right() or trial.derived(state="none").right():
        start.require_right()
        return
    without = replace(start.case, state=None)
    matters = np.abs(oracle_result(start.case).c_n - oracle_result(without).c_n).max() > 1e-3
    pairs = zip(start.result, start.run(without), strict=True)
    if matters and all(np.array_equal(a, b) for a, b in pairs if a is not None and b is not None):
        raise Violation("the results are the same without the state", case=start.case)
    raise Discard
