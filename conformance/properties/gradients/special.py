"""Gradients at equal sizes, at equal parameters and at zeros, where x is NaN, and of no rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import Case
from conformance.cases.cotangents import draw, zeros
from conformance.cases.sizes import COINCIDENCES, coincidences, equalled
from conformance.properties.batch import take_rows
from conformance.properties.gradients.shared import (
    LOSSES,
    LOSSES_IN_TURN,
    NEEDS,
    cut,
    drawn,
    free_findings,
    gradient_prop,
)
from conformance.properties.model import pairs
from conformance.properties.parameters import TIED, tied
from conformance.spec import Slot
from conformance.trials.agreement import right
from conformance.trials.outcomes import BackendError, Discard, Narrowed, Violation
from conformance.trials.trial import Trial

#: Losses (``drawn`` takes the same one) and kinds of parameters that are equal.
_LOSSES_AND_TIED = pairs(LOSSES_IN_TURN, TIED)


@gradient_prop("gradients.equal-parameters", needs=(*NEEDS, "grad_params", "params"), turns=len(_LOSSES_AND_TIED))
def equal_parameters(trial: Trial) -> None:
    """Parameters that hold the same numbers have gradients of their own.

    If equal constants are stored once, their gradients are summed, or all but one are lost.
    """
    small = cut(trial)
    _, kind = trial.in_turn(_LOSSES_AND_TIED)
    # So that there are two of a shape.
    if kind == "bias" and not small.recipe.bias:
        small = small.resized(bias=True)
    elif kind == "weight" and small.case.config.output_size != small.recipe.I:
        small = small.resized(I=small.case.config.output_size)
    alike = tied(small.case.params, kind)
    _right_with(small, replace(small.case, params=alike, rule="any"))


#: Parameters that are zeros, by the beginning of their names.
_ZEROS = ("weight_ih", "bias", "weight_hh", "bias_ih", "weight_hr")


@gradient_prop("gradients.zeros", needs=(*NEEDS, "grad_x", "grad_params", "params"), turns=LOSSES * 4 * 5)
def zeros_have_gradients(trial: Trial) -> None:
    """Biases, a weight and a row of x that are zeros have gradients like any others.

    Biases begin at zero, and so do adapters and pruned weights: without a gradient they would never change.
    """
    small = cut(trial)
    kind = trial.in_turn(_ZEROS if trial.backend.capabilities.projection else _ZEROS[:-1])
    if kind.startswith("bias") and not small.recipe.bias:
        small = small.resized(bias=True)
    if kind == "weight_hr" and not small.recipe.proj:
        small = small.resized(H=max(small.recipe.H, 2), proj=1)
    params = {name: 0 * value if name.startswith(kind) else value for name, value in small.case.params.items()}
    x = small.case.x.copy()
    x[:, small.pick("row of zeros", small.case.batch)] = 0
    _right_with(small, replace(small.case, params=params, rule="any"))
    _right_with(small, replace(small.case, x=x))


def _right_with(small: Trial, changed: Case) -> None:
    """The gradients of a changed case are right, if those of the small one are."""
    cotangents = drawn(small)
    findings = free_findings(small, cotangents, *small.vjp(changed, cotangents), case=changed)
    if not right(findings) and not right(free_findings(small, cotangents, *small.vjp(small.case, cotangents))):
        raise Discard
    small.require(findings, changed)


#: Sizes that are equal, and whether rows are unequal, or the call unbatched, as it must be for a coincidence of N.
_COINCIDENCES_AND_FORMS = pairs(COINCIDENCES, (True, False))


@gradient_prop(
    "gradients.equal-sizes",
    needs=(*NEEDS, "params"),
    limit=len(_COINCIDENCES_AND_FORMS),
    turns=len(_COINCIDENCES_AND_FORMS),
)
def equal_sizes(trial: Trial) -> None:
    """Where two sizes are equal the gradients are right in each layout: as many rows as steps, as units, as layers.

    Adapters tell layouts, axes and weights apart by their sizes. A gradient in the other layout is added to its
    argument without an error where N = L.
    """
    (one, other), special = trial.in_turn(_COINCIDENCES_AND_FORMS)
    declared, r = trial.backend.capabilities, trial.recipe
    if declared.compiled:
        # Drawn cases have equal sizes too.
        if not coincidences(r):
            raise Discard
        small = cut(trial)
        _right_with(small, small.case)
        return
    sizes = {"I": 3, "H": 5, "proj": 2 if r.proj else 0, "L": 4, "N": 2 if declared.batch else 1}
    sizes["layers"] = max(r.layers, 1 + declared.layers) if other == "slots" else r.layers
    ragged = special and declared.lengths and declared.batch
    unbatched = special and declared.unbatched and "N" not in (one, other)
    usual = replace(r, **sizes, unbatched=False, ragged=ragged and not unbatched)  # type: ignore[arg-type]
    changed = equalled(usual, one, other)
    if not {one, other} & {"N", "L", "slots"} and not unbatched:
        changed = equalled(changed, "N", "L")
    changes = {name: getattr(changed, name) for name in (*sizes, "ragged")}
    if unbatched:
        changes["N"] = 1
    layouts = [layout for layout, has in ((False, declared.time_major), (True, declared.batch_first)) if has]
    for batch_first in (r.batch_first,) if unbatched else layouts:
        # Lengths of its own for each layout: some masks are their own transposes.
        own = {"unbatched": unbatched, "batch_first": batch_first, "seed": r.seed + batch_first, "gain": 0.3}
        alike = trial.resized(**changes, **own)
        cotangents = draw(alike.case, alike.recipe.seed, "all", declared.returns)
        alike.require(free_findings(alike, cotangents, *alike.vjp(alike.case, cotangents)), alike.case)


@gradient_prop("gradients.nan-kept", needs=("gradients", "grad_params", "params", "values"))
def nan_kept(trial: Trial) -> None:
    """A NaN in x makes the gradients of the first layer's W_ih NaN, in the rows of i and g: it took part in them.

    A backward pass that replaces NaN hides that a step of training must be skipped. The rows of f and o are not asked:
    a forget gate may be left out of a first step, and an output gate where only c_n is returned.
    """
    small = cut(trial)
    if small.arithmetic is None:
        raise Discard
    case = small.case
    row = small.pick("spoiled row", case.batch)
    x = case.x.copy()
    x[small.pick("spoiled step", int(case.row_lengths()[row])), row, small.pick("feature", x.shape[2])] = np.nan
    spoiled = replace(case, x=x)
    try:
        _, grads = small.vjp(spoiled, draw(case, small.recipe.seed, "all", trial.backend.capabilities.returns))
    except BackendError:
        # To refuse it is an answer.
        raise Discard from None
    for direction in range(case.config.num_directions):
        grad = grads["weight_ih" + Slot(0, direction).suffix]
        wrong = ~np.isnan(grad.reshape(4, case.config.hidden_size, -1))
        # The rows of f and o.
        wrong[[1, 3]] = False
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong.reshape(grad.shape))[0])
            name = "weight_ih" + Slot(0, direction).suffix
            raise Violation(f"grad {name}{list(at)} is {grad[at]:.9g} where the equations give nan", case=spoiled)


@gradient_prop(
    "gradients.no-rows", needs=("gradients", "grad_params", "batch"), when=lambda r: not r.unbatched, limit=8
)
def no_rows(trial: Trial) -> None:
    """A batch without rows gives weights gradients of zeros, as in nn.LSTM, or is refused.

    The last part of a divided batch may be empty; uninitialised buffers are then added to the gradient.
    """
    small = cut(trial)
    empty = take_rows(small.case, np.zeros(0, np.int64))
    try:
        _, grads = small.vjp(empty, zeros(empty))
    except (BackendError, Narrowed):
        return
    for name, value in grads.items():
        if not (value == 0).all():
            at = tuple(int(k) for k in np.argwhere(~(value == 0))[0])
            raise Violation(f"grad {name}{list(at)} is {value[at]:.9g} for a batch without rows", case=empty)
