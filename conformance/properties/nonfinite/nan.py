"""NaN in x, in the initial state and in parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import Case
from conformance.cases.recipe import Recipe
from conformance.properties.batch import take_rows
from conformance.properties.layout import oracle_result
from conformance.properties.model import prop
from conformance.properties.nonfinite.shared import accepted, apart, spoiled_x
from conformance.spec import GATES, Result
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial


def _one_way(recipe: Recipe) -> bool:
    return not recipe.bidirectional and not recipe.ragged and apart(recipe)


@prop(
    "nonfinite.nan-isolated",
    needs=("values", "output"),
    when=_one_way,
    fails="spreads a NaN to other rows or earlier steps",
)
def nan_isolated(trial: Trial) -> None:
    """A NaN in one row's input reaches neither the other rows nor, in one direction, that row's earlier outputs.

    Scales taken over a batch, masks by multiplication and padding that is computed and thrown away spread it.
    """
    case = trial.case
    (t, row, _), spoiled = spoiled_x(trial, case, lambda value: np.nan)
    if case.batch == 1 and not t:
        raise Discard

    def untouched(result: Result, others: bool) -> Result:
        assert result.output is not None
        if others:
            return Result(*(None if part is None else np.delete(part, row, axis=1) for part in result))
        return Result(result.output[:t, row : row + 1], None, None)

    if case.batch > 1:
        rest = [n for n in range(case.batch) if n != row]
        trial.require_same(
            lambda k: untouched(trial.complete(spoiled.prefix(k)), True),
            case=take_rows(case, rest),
            usual=lambda k: untouched(trial.observe(k), True),
        )
    if t:
        trial.require_same(
            lambda k: untouched(trial.complete(spoiled.prefix(k)), False),
            case=replace(take_rows(case, [row]), x=case.x[:t, row : row + 1]),
            usual=lambda k: untouched(trial.observe(k), False),
        )


@prop("nonfinite.nan-kept", needs=("values",), when=apart, fails="loses or spreads a NaN in x")
def nan_kept(trial: Trial) -> None:
    """A NaN in x makes exactly those results NaN that depend on it: later ones forward, earlier ones in reverse.

    Clamps that order their comparisons the wrong way, or were compiled for finite numbers only, turn NaN into a limit,
    and a wrong model then looks like a right one. Masks by multiplication spread it into the padding.
    """
    ordinary = trial.derived(fill="normal")
    _, spoiled = spoiled_x(ordinary, ordinary.case, lambda value: np.nan)
    _nan_where_the_equations_say(ordinary, spoiled)


@prop(
    "nonfinite.nan-state",
    needs=("values", "initial_state"),
    when=apart,
    turns=2,
    fails="loses or spreads a NaN in h_0 or c_0",
)
def nan_state(trial: Trial) -> None:
    """A NaN in h_0 or c_0 makes exactly those results NaN that depend on it, in its own row.

    A guard that resets a NaN state hides that the sequence before went wrong.
    """
    ordinary = trial.derived(fill="normal", state="both")
    case = ordinary.case
    assert case.state is not None
    parts = [part.copy() for part in case.state]
    which = trial.in_turn(range(2))
    parts[which][tuple(ordinary.pick(f"nan state {axis}", size) for axis, size in enumerate(parts[which].shape))] = (
        np.nan
    )
    _nan_where_the_equations_say(ordinary, replace(case, state=(parts[0], parts[1])))


#: The parameters that hold a NaN. The recurrent weights may rightly be left out of a first step from zeros.
_SPOILED = ("weight_ih", "bias_ih", "bias_hh")


@prop(
    "nonfinite.nan-weight",
    needs=("values", "params"),
    when=apart,
    turns=len(_SPOILED),
    fails="loses a NaN in a parameter",
)
def nan_weight(trial: Trial) -> None:
    """A NaN in an input weight or a bias shows in its own unit, and in every result that depends on that unit.

    Loading that replaces NaN in weights makes a model out of a broken file. The forget gate is asked only where there
    is a cell to forget: a first step without a state may be written as c_1 = i·g.
    """
    ordinary = trial.derived(fill="normal")
    case = ordinary.case
    kind = trial.in_turn(_SPOILED if case.config.bias else _SPOILED[:1])
    names = [name for name in case.params if name.startswith(kind)]
    name = names[ordinary.pick("nan weight", len(names))]
    spoiled = case.params[name].copy()
    gates = "ifgo" if case.state is not None and case.state[1].all() else "igo"
    of_gate = spoiled.reshape(4, -1)[GATES.index(gates[ordinary.pick("nan weight of", len(gates))])]
    of_gate[ordinary.pick("nan weight at", of_gate.size)] = np.nan
    _nan_where_the_equations_say(ordinary, replace(case, params={**case.params, name: spoiled}))


def _nan_where_the_equations_say(trial: Trial, spoiled: Case) -> None:
    """Results are NaN where the oracle's are, and nowhere else."""
    if trial.arithmetic is None:
        raise Discard
    got, want = accepted(trial, spoiled), oracle_result(spoiled)
    for name, a, b in zip(Result._fields, got, want, strict=True):
        if a is None:
            continue
        wrong = np.isnan(a) != np.isnan(b)
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise Violation(f"{name}{list(at)} is {a[at]:.9g} where the equations give {b[at]:.9g}", case=spoiled)
