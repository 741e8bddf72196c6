"""Gradients in training: each vjp has the mask of its own forward pass."""

from __future__ import annotations

import numpy as np

from conformance.bounds.chance import surprise
from conformance.bounds.forward import Expectation
from conformance.bounds.rounding import Arithmetic
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents, draw
from conformance.instruments.masks import FORMS, dropped_by, live, single
from conformance.properties.dropout.shared import LIMIT, NEEDS, precise, require_gradients
from conformance.properties.gradients.shared import (
    free_findings,
)
from conformance.properties.model import pairs, prop
from conformance.properties.purity.concurrent import at_once
from conformance.reference.backward import Gradients
from conformance.spec import Array, Result
from conformance.trials.outcomes import Discard, Violation, within
from conformance.trials.trial import Trial

#: The forms of a wired model for gradients, and whether such a call comes first.
_FORMS = pairs(FORMS, (False, True))


@prop(
    "dropout.gradients",
    needs=(*NEEDS, "gradients", "output"),
    when=precise,
    limit=8,
    chance=True,
    turns=len(_FORMS),
)
def gradients(trial: Trial) -> None:
    """In training a dropped element has no gradient, and a kept one's gradient is scaled by 1/(1 − p) too.

    The backward pass needs the mask of its own forward pass. Kernels that fuse dropout draw it again, or forget it, or
    keep one mask for ever.
    """
    form, after_one = trial.in_turn(_FORMS)
    case, cotangents = _live_vjp(trial, form)
    model = trial.model(case)
    if after_one:
        small = single(case)
        trial.vjp(small, draw(small, trial.recipe.seed, "all", trial.backend.capabilities.returns), model)
    first, second = trial.vjp(case, cotangents, model), trial.vjp(case, cotangents, model)
    for vjp in (first, second):
        _require_own_masks(trial, case, cotangents, *vjp)
    tosses = (case.config.num_layers - 1) * int(case.row_lengths().sum())
    tosses *= case.config.num_directions * case.config.output_size
    same = all(a is None or np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True) if b is not None)
    if same and surprise(tosses, tosses, 0.5) > LIMIT:
        raise Violation(f"two calls of vjp dropped the very same of {tosses} elements", case=case)


@prop(
    "dropout.threads",
    needs=(*NEEDS, "gradients", "output", "threads"),
    when=precise,
    limit=len(FORMS),
    chance=True,
    turns=len(FORMS),
)
def threads(trial: Trial) -> None:
    """In training each of two vjps that run in one model at once has the masks of its own forward pass.

    keras#17612 kept the mask in the layer, where another thread's call replaced it before the backward pass read it.
    """
    case, cotangents = _live_vjp(trial, trial.in_turn(FORMS))
    model = trial.model(case)

    def call() -> tuple[Result, Gradients]:
        return trial.vjp(case, cotangents, model)

    own, beside = at_once(call, call)
    with within("beside a vjp of the same model in another thread", case):
        for vjp in (*own, *beside):
            _require_own_masks(trial, case, cotangents, *vjp)


def _live_vjp(trial: Trial, form: str) -> tuple[Case, Cotangents]:
    """A wired model that drops, and the loss of its vjp; ``Discard`` where the arithmetic blurs the results."""
    declared = trial.arithmetic
    if declared is None or declared.inputs or declared.accumulate > declared.unit or declared.given:
        raise Discard
    case = live(trial, form)
    return case, draw(case, trial.recipe.seed, "all", trial.backend.capabilities.returns)


def _require_own_masks(trial: Trial, case: Case, cotangents: Cotangents, result: Result, grads: Gradients) -> None:
    """The gradients must be those of the masks that the results tell, if the results are right."""
    assert trial.arithmetic is not None
    scales = _scales(case, result, trial.arithmetic)
    require_gradients(trial, free_findings(trial, cotangents, result, grads, case=case, scales=scales), case)


def _scales(case: Case, result: Result, declared: Arithmetic) -> list[Array]:
    """What a vjp of a live model multiplied each lower layer's output by (L, N, D·P), read off its results."""
    layers, D = case.config.num_layers, case.config.num_directions
    below, scales = Expectation(case, declared).below(1).value, []
    for k in range(1, layers):
        # Of three layers there is a single step, and the middle one's h_n is all of its output.
        halves = [] if result.h_n is None else [*result.h_n[k * D : (k + 1) * D]]
        outputs = np.asarray(result.output if k == layers - 1 else np.concatenate(halves, axis=1)[None], np.float64)
        scales.append(np.where(dropped_by(case, k, below, outputs).reshape(below.shape), 0.0, 2.0))
        below = outputs
    return scales
