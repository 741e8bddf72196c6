"""Degenerate sizes: none and one of something. An LSTM may refuse such a call; it may not answer it wrongly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases.case import Case
from conformance.properties.batch import result_rows, take_rows
from conformance.properties.model import prop
from conformance.properties.resized import cheap
from conformance.spec import Array, Result, numpy_dtype
from conformance.trials.calls import shape_error
from conformance.trials.outcomes import BackendError, Narrowed, Violation
from conformance.trials.trial import Trial

_NONE = np.zeros(0, np.int64)


def _empty(trial: Trial, case: Case, model: Callable[..., Any] | None = None) -> Result | None:
    """The canonical result of a call without rows or steps, in the config's dtype; None if it is refused."""
    try:
        result = trial.call(case, model)
    except (BackendError, Narrowed):
        return None
    if error := shape_error(case, result):
        raise Violation(error, case=case)
    result = trial.checked(case, result)
    for name, part in zip(Result._fields, result, strict=True):
        if part is not None and part.dtype != numpy_dtype(case.config.dtype):
            raise Violation(f"{name} has dtype {part.dtype}, expected {case.config.dtype}", case=case)
    return result


def _changed(trial: Trial, part: Array, initial: Array) -> Array:
    """Where a state is not the initial one, as it may be stored."""
    given = trial.arithmetic.given if trial.arithmetic else 0.0
    return ~(np.abs(np.asarray(part, np.float64) - initial) <= given * np.abs(np.asarray(initial, np.float64)))


def _no_rows(trial: Trial) -> Case:
    return replace(take_rows(trial.case, _NONE), view="plain")


def _no_steps(trial: Trial) -> Case:
    return replace(trial.case, x=trial.case.x[:0], lengths=None, view="plain")


@prop(
    "degenerate.no-rows",
    needs=("batch",),
    when=lambda r: not r.unbatched,
    limit=12,
    fails="answers a batch without rows wrongly",
)
def no_rows(trial: Trial) -> None:
    """A batch without rows gives empty results of the right shapes, as nn.LSTM does, or is refused.

    Filters leave empty batches; onnxruntime PR6238 crashed on a GEMM dimension of 0.
    """
    _empty(trial, _no_rows(trial))


@prop("degenerate.no-steps", needs=("loop",), limit=12, fails="answers a sequence without steps wrongly")
def no_steps(trial: Trial) -> None:
    """A sequence without steps gives an empty output and the initial state, or is refused, as by nn.LSTM.

    pytorch#50192: L = 0. Zeros in place of h_0, or uninitialised memory, look like an answer.
    """
    case = _no_steps(trial)
    result = _empty(trial, case)
    if result is None:
        return
    for name, part, initial in zip(("h_n", "c_n"), result[1:], case.initial(), strict=True):
        if part is not None and (changed := _changed(trial, part, initial)).any():
            at = tuple(int(k) for k in np.argwhere(changed)[0])
            raise Violation(f"after no steps, {name}{list(at)} is {part[at]:.9g}, not {initial[at]:.9g}", case=case)


@prop(
    "degenerate.then-right",
    needs=("loop", "values", "live"),
    limit=12,
    turns=2,
    fails="is wrong after an empty call",
)
def then_right(trial: Trial) -> None:
    """A call without rows or steps, answered or refused, leaves the same model as right as before.

    A workspace sized for nothing, or a state kept from an empty call, spoils the next one.
    """
    model = trial.model(trial.case)
    batched = trial.backend.capabilities.batch and not trial.case.unbatched
    empty = _no_rows(trial) if batched and trial.in_turn((True, False)) else _no_steps(trial)
    with suppress(BackendError, Narrowed):
        trial.call(empty, model)
    trial.require_same_result(trial.run(trial.case, model))


@prop(
    "degenerate.no-length",
    needs=("lengths", "values"),
    when=lambda r: r.ragged and r.L <= 65,
    limit=12,
    fails="answers a row of length 0 wrongly",
)
def no_length(trial: Trial) -> None:
    """A row of length 0 keeps its initial state and gives zeros, or is refused, as by nn.LSTM.

    A length of 0 makes a last step of −1, which is the end of the padding; a mask never sees a first valid step.
    """
    case, row = trial.case, trial.pick("no length", trial.case.batch)
    lengths = np.where(np.arange(case.batch) == row, 0, case.row_lengths())
    emptied = replace(case, lengths=lengths)
    result = _empty(trial, emptied)
    if result is None:
        return
    expected = (np.zeros(()), *case.initial())
    for name, part, want in zip(Result._fields, result, expected, strict=True):
        if part is None:
            continue
        want = np.broadcast_to(want, part.shape)
        if (changed := _changed(trial, part[:, row], want[:, row])).any():
            at, j = (int(k) for k in np.argwhere(changed)[0])
            told = f"{name}[{at}, {row}, {j}] is {part[at, row, j]:.9g}, expected {want[at, row, j]:.9g}"
            raise Violation(f"row {row} has length 0, and {told}", case=emptied)
    others = np.flatnonzero(np.arange(case.batch) != row)
    if len(others):
        trial.require_same(
            lambda k: result_rows(trial.complete(emptied.prefix(k)), others),
            case=take_rows(case, others),
            usual=lambda k: result_rows(trial.observe(k), others),
        )


_SIZES = ("I", "H", "L", "N", "proj")


@prop(
    "degenerate.ones",
    needs=("params", "values"),
    when=lambda r: r.H > 1 or r.I > 1,
    turns=len(_SIZES),
    fails="is wrong where a size is one",
)
def ones(trial: Trial) -> None:
    """Models and calls are right where a size is one: features, units, projected units, rows, steps.

    An axis of one broadcasts or is squeezed (keras PR7387), and kernels take their vector path for it.
    """
    if trial.backend.capabilities.compiled:
        # The smallest call of all; drawn cases have one row, and one step, beside all else.
        trial.resized(**cheap(trial) | dict.fromkeys("IHLN", 1) | {"ragged": False, "state": "none"}).require_right()
        return
    sizes = [name for name in _SIZES if getattr(trial.recipe, name) > 1]
    # The one whose turn it is, and others by chance.
    chosen = {name for name in sizes if name == trial.in_turn(_SIZES) or trial.pick(f"one {name}", 2)}
    chosen = chosen or {sizes[trial.pick("one", len(sizes))]}
    changes = dict.fromkeys(chosen, 1) | ({"proj": 0} if "H" in chosen else {})
    trial.resized(**changes).require_right()
