"""Dropout and mode: in training, and only then, elements between layers are dropped, each by a chance of its own.

A random result has no oracle. But a model can be wired so that its results tell which elements were dropped
(``masks.py``); the oracle then judges them within the bound, like any other input. An element that was neither dropped
nor scaled does not fit, nor does a mask on the recurrence, on the last output or on a state.

The pattern must be that of independent tosses of probability p. With any generator, a correct implementation fails one
of a run's tests with a probability of at most ``ALARM`` (``chance.py``).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from conformance.bounds.chance import surprise, threshold
from conformance.bounds.forward import Expectation, Finding
from conformance.bounds.rounding import Arithmetic
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents, draw
from conformance.cases.recipe import Recipe
from conformance.instruments.masks import FORMS, RATES, Reading, dropped_by, live, read, single, with_dropout
from conformance.properties.gradients.shared import (
    LOSSES,
    cut,
    drawn,
    free_findings,
    require_same_gradients,
)
from conformance.properties.model import pairs, prop
from conformance.properties.purity.calls import at_once
from conformance.reference.backward import Gradients
from conformance.spec import Array, Result
from conformance.trials.agreement import right
from conformance.trials.outcomes import Discard, Violation, within
from conformance.trials.trial import Trial, mismatch

#: How probable it may be that any of a run's tests accuses a correct implementation.
ALARM = 1e-9

#: How many cases of a run a property tests for chance, and how many tests a case has at most: the rate between three
#: layers and in two directions, six axes of independence, and whether two masks are one.
_CHECKS, _TESTS = 24, 4 + 6 + 1

#: The surprise that is taken for a deviation.
LIMIT = threshold(ALARM, _CHECKS * _TESTS)

#: The axes of what is read off, as a person names their places.
_AXES = ("boundaries", "calls", "steps", "rows", "directions", "features")

_NEEDS = ("dropout", "layers", "params", "values")

#: The probabilities, and whether a call of one row and one step comes first, to whose size a mask may be kept.
_READINGS = pairs(RATES, (False, True))

#: The forms of a wired model for gradients, and whether such a call comes first.
_FORMS = pairs(FORMS, (False, True))


def _stacked(recipe: Recipe) -> bool:
    return recipe.layers > 1


def _precise(recipe: Recipe) -> bool:
    """Half precision blurs what a unit's output tells; so does reduced arithmetic, which ``read`` leaves out."""
    return recipe.layers > 1 and recipe.dtype in ("float32", "float64")


# Where there is no chance


@prop("dropout.evaluation", needs=("dropout", "layers", "values"), when=_stacked)
def evaluation(trial: Trial) -> None:
    """In evaluation nothing is dropped or scaled, for any config.dropout.

    DL4J dropped at inference; the first formulation of dropout scales there instead of in training.
    """
    trial.require_same_result(trial.run(with_dropout(trial.case, 0.5, training=False)))


@prop("dropout.nothing", needs=("dropout", "layers", "values"))
def nothing(trial: Trial) -> None:
    """In training nothing is dropped with a probability of 0, nor in a model of one layer.

    Dropout is between layers. Code that drops every layer's output is wrong in a stack's last layer, and in a single
    one.
    """
    case = with_dropout(trial.case, 0.0 if trial.case.config.num_layers > 1 else 0.5)
    trial.require_same_result(trial.run(case))


@prop(
    "dropout.idle-gradients",
    needs=("dropout", "layers", "gradients", "values"),
    when=_precise,
    limit=12,
    turns=LOSSES,
)
def idle_gradients(trial: Trial) -> None:
    """In evaluation, and in training with a probability of 0, the gradients are those without dropout.

    Paddle#37080 took them from the wrong array in training without dropout. A backward pass that scales by 1/(1 − p) in
    both modes is wrong in evaluation.
    """
    small = cut(trial)
    cotangents = drawn(small)
    without = small.vjp(small.case, cotangents)
    for case in (with_dropout(small.case, 0.5, training=False), with_dropout(small.case, 0.0)):
        require_same_gradients(small, cotangents, without, small.vjp(case, cotangents))


@prop("dropout.everything", needs=_NEEDS, when=_stacked)
def everything(trial: Trial) -> None:
    """With a probability of 1 in training, every layer but the first reads zeros.

    The scale 1/(1 − p) is infinite there, and 0·∞ is not a number.
    """
    case = trial.case
    deaf = {
        name: 0 * value if name.startswith("weight_ih") and not name.startswith("weight_ih_l0") else value
        for name, value in case.params.items()
    }
    silent = replace(case, params=deaf)
    trial.require(trial.findings_of(silent, trial.observing(with_dropout(case, 1.0))), silent)


@prop(
    "dropout.everything-gradients",
    needs=(*_NEEDS, "gradients"),
    when=_precise,
    limit=12,
    turns=LOSSES,
)
def everything_gradients(trial: Trial) -> None:
    """With a probability of 1 in training no gradient passes back from layer to layer, and every one is a number.

    The scale 1/(1 − p) is infinite in the backward pass too.
    """
    small = cut(trial)
    case, cotangents = with_dropout(small.case, 1.0), drawn(small)
    nothing = np.zeros((case.steps, case.batch, case.config.num_directions * case.config.output_size))
    scales = [nothing] * (case.config.num_layers - 1)
    findings = free_findings(small, cotangents, *small.vjp(case, cotangents), case=case, scales=scales)
    _require_gradients(small, findings, case)


@prop("dropout.first-layer", needs=(*_NEEDS, "h_n", "c_n"), when=_stacked)
def first_layer(trial: Trial) -> None:
    """The first layer's h_n and c_n in training are those without dropout: nothing is dropped in it or below it.

    Keras's ``dropout`` drops the layer's input, and its ``recurrent_dropout`` drops h_{t−1}: the same name means
    something else.
    """
    D = trial.case.config.num_directions

    def bottom(result: Result) -> Result:
        return Result(None, *(None if part is None else part[:D] for part in (result.h_n, result.c_n)))

    dropped = bottom(trial.run(with_dropout(trial.case, 0.5)))
    trial.require_same(lambda k: dropped, trial.case.prefix(1), usual=lambda k: bottom(trial.result))


def _reading(trial: Trial) -> Reading:
    """The elements dropped in the reading whose turn it is, read off once for all properties that take the same one."""
    p, after_one = trial.in_turn(_READINGS)
    after_one = after_one and not trial.backend.capabilities.compiled
    return trial.once(f"reading at {p}, {after_one}", lambda: read(trial, p, after_one))


def legible(trial: Trial) -> Reading:
    """The reading, if it explains the results; otherwise it means nothing, and ``dropout.elements`` fails."""
    reading = _reading(trial)
    if not reading.worst.margin() <= 1.0:
        raise Discard
    return reading


# The pattern that is read off


@prop("dropout.elements", needs=(*_NEEDS, "output"), when=_precise, limit=_CHECKS, chance=True, turns=len(_READINGS))
def elements(trial: Trial) -> None:
    """In training a layer gets each element of the output below it as 0 or as y/(1 − p), and nothing else is changed.

    The recurrence, the states and the last layer's output stay, and both directions get the same elements.
    """
    reading = _reading(trial)
    worst = reading.worst
    if not worst.margin() <= 1.0:
        rows = reading.case.batch
        axis = 1 if worst.tensor == "output" else 0
        at = int(np.unravel_index(int(np.argmax(worst.ratios())), worst.actual.shape)[axis]) // rows
        parts = (
            np.take(part, range(at * rows, (at + 1) * rows), axis)
            for part in (worst.actual, worst.expected, worst.bound)
        )
        one = replace(worst, **dict(zip(("actual", "expected", "bound"), parts, strict=True)))
        with within(f"call {at + 1}, against the nearest that dropped and scaled elements give", reading.case):
            raise Violation(mismatch(one, reading.case), worst.margin())
    trial.record(worst.margin())


@prop("dropout.rate", needs=(*_NEEDS, "output"), when=_precise, limit=_CHECKS, chance=True, turns=len(_READINGS))
def rate(trial: Trial) -> None:
    """In training the share of elements that are dropped is p, between every two layers and in both directions.

    p is the probability of dropping. Ports from a p of keeping (TensorFlow 1's ``keep_prob``) confuse the two.
    """
    reading = legible(trial)
    p, valid = reading.case.config.dropout, reading.valid
    D = reading.case.config.num_directions
    for k, d in product(range(len(reading.dropped)), range(D)):
        there = reading.dropped[k, :, valid, d]
        if surprise(int(there.sum()), there.size, p) > LIMIT:
            half = "" if D == 1 else f" in the {('forward', 'reverse')[d]} half"
            raise Violation(
                f"of {there.size:,} elements between layers {k} and {k + 1}{half}, {int(there.sum()):,} were dropped "
                f"with dropout={p:g}: a share of {there.mean():.3f}",
                case=reading.case,
            )


@prop(
    "dropout.independence", needs=(*_NEEDS, "output"), when=_precise, limit=_CHECKS, chance=True, turns=len(_READINGS)
)
def independence(trial: Trial) -> None:
    """In training each element is dropped by a chance of its own, at every layer, call, step, row and feature.

    One mask for all steps is another technique (Gal & Ghahramani 2016), and a seed set at every call is a defect.
    """
    reading = legible(trial)
    valid = np.broadcast_to(reading.valid[..., None, None], reading.dropped.shape)
    worst = 0.0, ""
    for axis, name in enumerate(_AXES):
        dropped, there = (np.moveaxis(part, axis, 0) for part in (reading.dropped, valid))
        pairs = len(dropped) // 2
        first, second = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        both = there[first] & there[second]
        a, b = dropped[first][both], dropped[second][both]
        # Given how many of each are dropped, they meet as if b were drawn without replacement, whatever the rate.
        met, share = int((a & b).sum()), float(b.mean()) if b.size else 0.0
        told = (
            f"neighbouring {name}: where one element was dropped, so was the next in {met:,} of {int(a.sum()):,} cases"
        )
        told += f"; the share of the next that were dropped is {share:.3f} in all"
        worst = max(worst, (surprise(met, int(a.sum()), share), told))
    if worst[0] > LIMIT:
        raise Violation(worst[1], case=reading.case)


@prop(
    "dropout.gradients",
    needs=(*_NEEDS, "gradients", "output"),
    when=_precise,
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
    needs=(*_NEEDS, "gradients", "output", "threads"),
    when=_precise,
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
    _require_gradients(trial, free_findings(trial, cotangents, result, grads, case=case, scales=scales), case)


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


def _require_gradients(trial: Trial, findings: list[Finding], case: Case) -> None:
    """The gradients must be within their bounds, if the results are: other properties judge those."""
    if not right([finding for finding in findings if not finding.tensor.startswith("grad")]):
        raise Discard
    trial.require(findings, case)
