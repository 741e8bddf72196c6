"""Non-finite values: the effects of NaN, of infinities and of the largest finite numbers.

An implementation may refuse such numbers by raising; if it returns, its results must be those of the equations. An
infinity stands only where no ∞ − ∞ and no 0 · ∞ can arise, which another order of summation would avoid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from conformance.cases.case import Case
from conformance.cases.recipe import Recipe
from conformance.properties.batch import take_rows
from conformance.properties.layout import oracle_result
from conformance.properties.model import prop
from conformance.spec import Array, Result, finfo
from conformance.trials.outcomes import BackendError, Discard, Violation
from conformance.trials.trial import Trial


def _apart(recipe: Recipe) -> bool:
    """Whether nn.LSTM itself keeps rows apart: where it does not, other implementations are not asked either.

    From 17 rows on, oneDNN's bfloat16 product on AMX processors (torch 2.13) adds 0 times the next row to a row.
    """
    return recipe.dtype != "bfloat16" or recipe.L * recipe.N <= 16


def _one_way(recipe: Recipe) -> bool:
    return not recipe.bidirectional and not recipe.ragged and _apart(recipe)


@prop(
    "nonfinite.nan-isolated",
    needs=("values", "output"),
    when=_one_way,
    fails="spreads a NaN to other rows or to earlier steps",
)
def nan_isolated(trial: Trial) -> None:
    """A NaN in one row's input reaches neither the other rows nor, in one direction, that row's earlier outputs.

    Scales taken over a batch, masks by multiplication and padding that is computed and thrown away spread it.
    """
    case = trial.case
    (t, row, _), spoiled = _spoiled(trial, case, lambda value: np.nan)
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


@prop("nonfinite.nan-kept", needs=("values",), when=_apart, fails="loses a NaN of x, or spreads it")
def nan_kept(trial: Trial) -> None:
    """A NaN in x makes exactly those results NaN that depend on it: later ones forward, earlier ones in reverse.

    Clamps that order their comparisons the wrong way, or were compiled for finite numbers only, turn NaN into a limit,
    and a wrong model then looks like a right one. Masks by multiplication spread it into the padding.
    """
    ordinary = trial.derived(fill="normal")
    _, spoiled = _spoiled(ordinary, ordinary.case, lambda value: np.nan)
    _nan_where_the_equations_say(ordinary, spoiled)


@prop(
    "nonfinite.nan-state",
    needs=("values", "initial_state"),
    when=_apart,
    turns=2,
    fails="loses a NaN of the state, or spreads it",
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
    when=_apart,
    turns=len(_SPOILED),
    fails="loses a NaN of a parameter, or spreads it",
)
def nan_weight(trial: Trial) -> None:
    """A NaN in an input weight or a bias shows in its own unit, and in every result that depends on that unit.

    Loading that replaces NaN in weights makes a model out of a broken file.
    """
    ordinary = trial.derived(fill="normal")
    case = ordinary.case
    kind = trial.in_turn(_SPOILED if case.config.bias else _SPOILED[:1])
    names = [name for name in case.params if name.startswith(kind)]
    name = names[ordinary.pick("nan weight", len(names))]
    spoiled = case.params[name].copy()
    spoiled.reshape(-1)[ordinary.pick("nan weight at", spoiled.size)] = np.nan
    _nan_where_the_equations_say(ordinary, replace(case, params={**case.params, name: spoiled}))


@prop("nonfinite.infinite-input", needs=("values", "params"), when=_apart, fails="is wrong where a feature is infinite")
def infinite_input(trial: Trial) -> None:
    """An infinite feature saturates every gate, like a very large one, and cells and outputs stay finite.

    dynet#1525: a sigmoid made from e^a / (1 + e^a) is NaN there, and so is ∞ times a rational function that is 0.
    """
    ordinary = trial.derived(fill="normal")
    case = ordinary.case
    place, spoiled = _spoiled(ordinary, case, lambda value: np.copysign(np.inf, value))
    weights = [value[:, place[2]] for name, value in case.params.items() if name.startswith("weight_ih_l0")]
    least = float(min(np.abs(np.asarray(column, np.float64)).min() for column in weights))
    if not least:
        raise Discard
    finite = np.array(case.x, np.float64)
    # A million against the other terms' hundreds: the oracle's gates are exactly 0, 1 and ±1.
    finite[place] = np.copysign(1e6 / least, finite[place])
    _right_as(ordinary, spoiled, finite)


@prop("nonfinite.huge-input", needs=("values", "params"), fails="is wrong where a feature is the largest number")
def huge_input(trial: Trial) -> None:
    """The largest finite feature gives the results of the equations, whether or not its products overflow.

    Norms and scales taken of the input overflow before the products do.
    """
    ordinary = trial.derived(fill="normal")
    largest = _largest(ordinary)
    _, spoiled = _spoiled(ordinary, ordinary.case, lambda value: np.copysign(largest, value))
    _right_as(ordinary, spoiled, np.asarray(spoiled.x, np.float64))


@prop("nonfinite.huge-cell", needs=("values", "initial_state"), fails="is wrong where a cell is huge")
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
    _accepted(ordinary, spoiled)
    _right_as(ordinary, spoiled, np.asarray(case.x, np.float64))


def _spoiled(trial: Trial, case: Case, spoil: Callable[[float], float]) -> tuple[tuple[int, int, int], Case]:
    """A time step, a row that reaches it and a feature; and the case with x spoiled there."""
    row, feature = trial.pick("spoiled row", case.batch), trial.pick("spoiled feature", case.x.shape[2])
    place = trial.pick("spoiled step", int(case.row_lengths()[row])), row, feature
    x = case.x.copy()
    x[place] = spoil(float(x[place]))
    spoiled = replace(case, x=x)
    _accepted(trial, spoiled)
    return place, spoiled


def _accepted(trial: Trial, case: Case) -> Result:
    """The result of a case; a backend may refuse it, which says nothing."""
    try:
        return trial.run(case)
    except BackendError:
        raise Discard from None


def _largest(trial: Trial) -> float:
    """The largest number of the dtype, or one that leaves float64's oracle some room."""
    return min(float(finfo(trial.case.config.dtype).max), 1e300)


def _right_as(trial: Trial, spoiled: Case, x: Array) -> None:
    """The results of ``spoiled`` must be right as those of x, which is finite in float64."""
    stand_in = replace(spoiled, x=x, rule="any")
    trial.require(trial.findings_of(stand_in, trial.observing(spoiled)), spoiled)


def _nan_where_the_equations_say(trial: Trial, spoiled: Case) -> None:
    """Results are NaN where the oracle's are, and nowhere else."""
    if trial.arithmetic is None:
        raise Discard
    got, want = _accepted(trial, spoiled), oracle_result(spoiled)
    for name, a, b in zip(Result._fields, got, want, strict=True):
        if a is None:
            continue
        wrong = np.isnan(a) != np.isnan(b)
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise Violation(f"{name}{list(at)} is {a[at]:.9g} where the equations give {b[at]:.9g}", case=spoiled)
