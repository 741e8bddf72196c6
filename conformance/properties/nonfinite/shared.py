"""Cases with a number that is not finite, and what a backend may do with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from conformance.cases.case import Case
from conformance.cases.recipe import Recipe
from conformance.spec import Result
from conformance.trials.outcomes import BackendError, Discard
from conformance.trials.trial import Trial


def apart(recipe: Recipe) -> bool:
    """Whether nn.LSTM itself keeps rows apart: where it does not, other implementations are not asked either.

    From 17 rows on, oneDNN's bfloat16 product on AMX processors (torch 2.13) adds 0 times the next row to a row.
    """
    return recipe.dtype != "bfloat16" or recipe.L * recipe.N <= 16


def spoiled_x(trial: Trial, case: Case, spoil: Callable[[float], float]) -> tuple[tuple[int, int, int], Case]:
    """A time step, a row that reaches it and a feature; and the case with x spoiled there."""
    row, feature = trial.pick("spoiled row", case.batch), trial.pick("spoiled feature", case.x.shape[2])
    place = trial.pick("spoiled step", int(case.row_lengths()[row])), row, feature
    x = case.x.copy()
    x[place] = spoil(float(x[place]))
    spoiled = replace(case, x=x)
    accepted(trial, spoiled)
    return place, spoiled


def accepted(trial: Trial, case: Case) -> Result:
    """The result of a case; a backend may refuse it, which says nothing."""
    try:
        return trial.run(case)
    except BackendError:
        raise Discard from None
