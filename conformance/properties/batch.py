"""Batch: rows are independent of each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import Case
from conformance.cases.fills import normal, permutation
from conformance.cases.recipe import Recipe
from conformance.properties.model import prop
from conformance.spec import Array, Result
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial


def _several_rows(recipe: Recipe) -> bool:
    return recipe.N >= 2


_NEEDS = ("batch", "values")


def take_rows(case: Case, rows: Array | list[int]) -> Case:
    """The case with some of its rows, in the given order."""
    state = None if case.state is None else (case.state[0][:, rows], case.state[1][:, rows])
    lengths = None if case.lengths is None else case.lengths[rows]
    return replace(case, x=np.ascontiguousarray(case.x[:, rows]), state=state, lengths=lengths)


def result_rows(result: Result, rows: Array | list[int]) -> Result:
    """The rows of a result, in the given order."""
    return Result(*(None if part is None else part[:, rows] for part in result))


@prop("batch.permutation", needs=_NEEDS, when=_several_rows)
def permuted(trial: Trial) -> None:
    """Permuting the rows of a batch permutes the results, and does nothing else.

    pytorch#95118 and burn#872 were wrong only at N > 1.
    """
    case = trial.case
    if case.batch < 2:
        raise Discard
    order = permutation(trial.recipe.seed, "rows", case.batch)
    inverse = np.argsort(order)
    trial.require_same(lambda k: result_rows(trial.complete(take_rows(case.prefix(k), order)), inverse))


@prop("batch.single-row", needs=_NEEDS, when=_several_rows)
def single_row(trial: Trial) -> None:
    """A row alone gives what it gives in a batch.

    torch-mlir PR4741 baked in a batch-1 h_0; kernels take other paths for N = 1.
    """
    case = trial.case
    if case.batch < 2:
        raise Discard
    row = trial.pick("row", case.batch)
    trial.require_same(lambda k: result_rows(trial.observe(k), [row]), take_rows(case, [row]))


@prop("batch.isolation", needs=_NEEDS, when=_several_rows)
def isolation(trial: Trial) -> None:
    """The other rows' content has no influence on a row, however large it is.

    A normalisation or a quantisation scale taken over the batch, or a stride that reads the neighbour, breaks it.
    """
    case = trial.case
    if case.batch < 2:
        raise Discard
    row = trial.pick("row", case.batch)
    others = np.arange(case.batch) != row

    def disturbed(name: str, values: Array) -> Array:
        values = values.copy()
        noise = 100 * normal(trial.recipe.seed, "others " + name, values[:, others].shape)
        values[:, others] += noise.astype(values.dtype)
        return values

    state = None if case.state is None else (disturbed("h_0", case.state[0]), disturbed("c_0", case.state[1]))
    changed = replace(case, x=disturbed("x", case.x), state=state)
    trial.require_same(
        lambda k: result_rows(trial.complete(changed.prefix(k)), [row]),
        case=take_rows(case, [row]),
        usual=lambda k: result_rows(trial.observe(k), [row]),
    )
