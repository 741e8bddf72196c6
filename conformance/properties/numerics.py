"""Numerics: the ends of the number line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.case import Case
from conformance.properties.batch import take_rows
from conformance.properties.model import prop
from conformance.recipe import Recipe
from conformance.spec import Result
from conformance.trial import BackendError, Discard, Trial, Violation


@prop("numerics.hidden-range", needs=("output", "values"), when=lambda r: not r.proj, every=1)
def hidden_range(trial: Trial) -> None:
    """Without a projection no output exceeds 1 in magnitude, but for the roundings of o, tanh(c) and their product.

    Uninitialised memory and overflow are far outside. Two activations and one rounding allow 1 + 14 u, to first order.
    """
    output, arithmetic = trial.result.output, trial.arithmetic
    if output is None or arithmetic is None:
        raise Discard
    _within(output, np.full(output.shape, 1 + 16 * arithmetic.unit), "output")


@prop("numerics.cell-growth", needs=("c_n", "values"), every=1)
def cell_growth(trial: Trial) -> None:
    """A cell grows by at most 1 a step: |c_n| ≤ |c_0| + L, but for the roundings of each step.

    Each step allows a factor of 1 + 16 u: two activations, two products and a sum.
    """
    c_n, arithmetic = trial.result.c_n, trial.arithmetic
    if c_n is None or arithmetic is None:
        raise Discard
    c_0 = np.abs(np.asarray(trial.case.initial()[1], np.float64))
    lengths = trial.case.row_lengths()[None, :, None]
    _within(c_n, (c_0 + lengths) * (1 + 16 * arithmetic.unit) ** lengths, "c_n")


def _within(values: np.ndarray, limit: np.ndarray, name: str) -> None:
    wrong = ~(np.abs(np.asarray(values, np.float64)) <= limit)
    if wrong.any():
        at = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise Violation(f"{name}{list(at)} is {values[at]:.9g}, beyond {limit[at]:.9g}")


def _judged(trial: Trial, fill: str) -> None:
    probe = trial.derived(fill=fill)
    probe.require(probe.findings(), probe.case)


@prop("numerics.saturation", needs=("values", "params"))
def saturation(trial: Trial) -> None:
    """Preactivations from 1e2 to 1e4 saturate every gate and stay finite.

    dynet#1525: the sigmoid was NaN past 88; ComputeLibrary#779: NaN past ±40.
    """
    _judged(trial, "saturated")


@prop("numerics.subnormal", needs=("values",))
def subnormal(trial: Trial) -> None:
    """Inputs and states around the smallest normal number do no harm, flushed to zero or not.

    A division by a scale of the data, or a denormal that traps, does.
    """
    _judged(trial, "subnormal")


def _one_way(recipe: Recipe) -> bool:
    return not recipe.bidirectional and not recipe.ragged


@prop("numerics.nan-isolated", needs=("values", "output"), when=_one_way)
def nan_isolated(trial: Trial) -> None:
    """A NaN in one row's input reaches neither the other rows nor, in one direction, that row's earlier outputs.

    Scales taken over a batch, masks by multiplication and padding that is computed and thrown away spread it.
    """
    case, spoiled, t, row = _spoiled(trial)
    if case.batch == 1 and not t:
        raise Discard

    def untouched(result: Result, others: bool) -> Result:
        assert result.output is not None
        if others:
            return Result(*(None if part is None else np.delete(part, row, axis=1) for part in result))
        return Result(result.output[:t, row : row + 1], None, None)

    if case.batch > 1:
        rest = [n for n in range(case.batch) if n != row]
        trial.relate(
            lambda k: untouched(trial.complete(spoiled.prefix(k)), True),
            case=take_rows(case, rest),
            base=lambda k: untouched(trial.observe(k), True),
        )
    if t:
        trial.relate(
            lambda k: untouched(trial.complete(spoiled.prefix(k)), False),
            case=replace(take_rows(case, [row]), x=case.x[:t, row : row + 1]),
            base=lambda k: untouched(trial.observe(k), False),
        )


@prop("numerics.nan-kept", needs=("output", "values"), when=_one_way)
def nan_kept(trial: Trial) -> None:
    """A NaN in the input makes every later output of its row NaN: it is not silently replaced by a number.

    Clamps that order their comparisons the wrong way turn NaN into a limit; a wrong model then looks like a right one.
    """
    _, spoiled, t, row = _spoiled(trial)
    output = trial.complete(spoiled).output
    assert output is not None
    later = output[t:, row]
    if not np.isnan(later).all():
        at = tuple(int(k) for k in np.argwhere(~np.isnan(later))[0])
        place = [at[0] + t, row, at[1]]
        raise Violation(f"output{place} is {later[at]:.9g} although x[{t}, {row}] holds a NaN", case=spoiled)


def _spoiled(trial: Trial) -> tuple[Case, Case, int, int]:
    """The case, the same with one NaN in x, and its time step and row."""
    case = trial.case
    t, row, feature = (trial.pick(f"nan {axis}", size) for axis, size in enumerate(case.x.shape))
    x = case.x.copy()
    x[t, row, feature] = np.nan
    spoiled = replace(case, x=x)
    try:
        trial.run(spoiled)
    except BackendError:
        # To refuse NaN is an answer.
        raise Discard from None
    return case, spoiled, t, row


@prop("numerics.no-clipping", needs=("values", "params", "initial_state", "c_n"))
def no_clipping(trial: Trial) -> None:
    """Cells beyond 3, 10, 100 are not clipped.

    ONNX's clip, burn's and OpenVINO's cell clipping are off by default; quantised and fixed-point cells saturate.
    """
    probe = trial.derived(fill="large-cell", state="both")
    probe.require(probe.findings(), probe.case)
