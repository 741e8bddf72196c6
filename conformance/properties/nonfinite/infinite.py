"""Infinities and the largest finite numbers in x and in the initial state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.bounds.forward import Finding
from conformance.cases.case import Case
from conformance.properties.layout import oracle_result
from conformance.properties.model import prop
from conformance.properties.nonfinite.shared import accepted, apart, spoiled_x
from conformance.spec import Array, finfo
from conformance.trials.outcomes import Discard, Violation, within
from conformance.trials.trial import Trial


@prop(
    "nonfinite.infinite-input",
    needs=("values", "params"),
    when=apart,
    fails="gives wrong numbers for an infinite x",
)
def infinite_input(trial: Trial) -> None:
    """An infinite feature saturates every gate, like a very large one, and cells and outputs stay finite.

    dynet#1525: a sigmoid made from e^a / (1 + e^a) is NaN there, and so is ∞ times a rational function that is 0.
    """
    ordinary = trial.derived(fill="normal")
    case = ordinary.case
    place, spoiled = spoiled_x(ordinary, case, lambda value: np.copysign(np.inf, value))
    weights = [value[:, place[2]] for name, value in case.params.items() if name.startswith("weight_ih_l0")]
    least = float(min(np.abs(np.asarray(column, np.float64)).min() for column in weights))
    if not least:
        raise Discard
    finite = np.array(case.x, np.float64)
    # A million against the other terms' hundreds: the oracle's gates are exactly 0, 1 and ±1.
    finite[place] = np.copysign(1e6 / least, finite[place])
    _right_as(ordinary, spoiled, finite)


@prop("nonfinite.huge-input", needs=("values", "params"), fails="gives wrong numbers for the largest finite x")
def huge_input(trial: Trial) -> None:
    """The largest finite feature gives the results of the equations, whether or not its products overflow.

    Norms and scales taken of the input overflow before the products do.
    """
    ordinary = trial.derived(fill="normal")
    largest = _largest(ordinary)
    _, spoiled = spoiled_x(ordinary, ordinary.case, lambda value: np.copysign(largest, value))
    _right_as(ordinary, spoiled, np.asarray(spoiled.x, np.float64))


#: An infinite cell is asked of no more steps: its stand-in decays, and must stay huge.
_FEW_STEPS = 40

#: The stand-in of an infinite cell, and the number above which a cell can come from it alone.
_STAND_IN, _HUGE = 1e300, 1e30


@prop(
    "nonfinite.infinite-state",
    needs=("values", "params", "initial_state"),
    when=lambda r: apart(r) and r.L <= _FEW_STEPS,
    turns=2,
    fails="gives wrong numbers for an infinite h_0 or c_0",
)
def infinite_state(trial: Trial) -> None:
    """An infinite h_0 saturates every gate of the first step; an infinite c_0 stays infinite, and its tanh is ±1.

    A state that is kept by m·h_t + (1 − m)·h_{t−1} becomes 0 · ∞, and a cell that is kept finite hides an overflow.
    """
    # Forget gates that are not 0: 0 · ∞ is NaN.
    ordinary = trial.derived(fill="normal", state="both", gain=min(trial.recipe.gain, 1.0))
    case = ordinary.case
    which = trial.in_turn(range(2))
    wide = [np.array(part, np.float64) for part in case.initial()]
    at = tuple(ordinary.pick(f"infinite state {axis}", size) for axis, size in enumerate(wide[which].shape))
    wide[which][at] = np.copysign(np.inf, wide[which][at])
    infinite = tuple(part.astype(case.x.dtype) for part in wide)
    spoiled = replace(case, state=(infinite[0], infinite[1]))
    wide[which][at] = np.copysign(_STAND_IN if which else _saturating(case, at), wide[which][at])
    stand_in = replace(spoiled, state=(wide[0], wide[1]), rule="any")
    got = accepted(ordinary, spoiled).c_n
    with within(f"with an infinite {('h_0', 'c_0')[which]}{list(at)}", spoiled):
        if which and got is not None:
            _infinite_where_the_equations_say(got, oracle_result(spoiled).c_n)
        findings = ordinary.findings_of(stand_in, ordinary.observing(spoiled))
        ordinary.require([_without_infinities(finding) for finding in findings], spoiled)


def _saturating(case: Case, at: tuple[int, ...]) -> float:
    """An h_0 whose every product with the recurrent weights is a million, against the other terms' hundreds."""
    slot = case.config.slots()[at[0]]
    column = np.asarray(case.params["weight_hh" + slot.suffix][:, at[2]], np.float64)
    if not column.all():
        raise Discard
    return 1e6 / float(np.abs(column).min())


def _infinite_where_the_equations_say(got: Array, want: Array) -> None:
    """Cells are infinite, with the right sign, where the oracle's are."""
    wrong = np.isinf(want) & (got != want)
    if wrong.any():
        at = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise Violation(f"c_n{list(at)} is {got[at]:.9g} where the equations give {want[at]:.9g}")


def _without_infinities(finding: Finding) -> Finding:
    """A comparison in which an infinite cell is its stand-in's."""
    infinite = (np.abs(finding.expected) > _HUGE) & (finding.actual == np.copysign(np.inf, finding.expected))
    return replace(finding, actual=np.where(infinite, finding.expected, finding.actual))


@prop("nonfinite.huge-cell", needs=("values", "initial_state"), fails="gives wrong numbers for a huge cell")
def huge_cell(trial: Trial) -> None:
    """A cell near the end of its dtype's range decays by its forget gates, and its tanh is ±1.

    A tanh made from c² or from e^2c overflows; oneDNN#976: a float16 LSTM with a float32 cell gave NaN.
    """
    ordinary = trial.derived(fill="large-cell", state="both")
    case = ordinary.case
    assert case.state is not None
    h_0, c_0 = case.state
    huge = np.copysign(_largest(ordinary) / 4, np.asarray(c_0, np.float64)).astype(c_0.dtype)
    spoiled = replace(case, state=(h_0, huge))
    accepted(ordinary, spoiled)
    _right_as(ordinary, spoiled, np.asarray(case.x, np.float64))


def _largest(trial: Trial) -> float:
    """The largest number of the dtype, or one that leaves float64's oracle some room."""
    return min(float(finfo(trial.case.config.dtype).max), 1e300)


def _right_as(trial: Trial, spoiled: Case, x: Array) -> None:
    """The results of ``spoiled`` must be right as those of x, which is finite in float64."""
    stand_in = replace(spoiled, x=x, rule="any")
    trial.require(trial.findings_of(stand_in, trial.observing(spoiled)), spoiled)
