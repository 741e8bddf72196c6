"""Gradients of many steps, rows, units and terms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.cases.cotangents import Cotangents, draw, zeros
from conformance.cases.sizes import WIDE, keeping
from conformance.instruments.sums import sample
from conformance.properties.gradients.shared import (
    FORCED,
    LOSSES,
    NEEDS,
    cut,
    drawn,
    free_findings,
    gradient_prop,
    require_right_gradients,
    tapped_findings,
)
from conformance.properties.model import Cost, pairs
from conformance.properties.resized import cheap
from conformance.properties.sizes.bits import in_a_row, in_stretches, stretches
from conformance.properties.sizes.real import FEATURES, FORMS, HIDDEN, ROWS, SWEPT_FEW, SWEPT_NAMES, smallest, to_sweep
from conformance.spec import Result
from conformance.trials.agreement import right
from conformance.trials.outcomes import Discard, within
from conformance.trials.trial import Trial

#: Steps of long sequences.
_LONG = (40, 520, 70, 140)

#: Steps and rows of sums with many terms; and each with whether the model is a single layer.
_TERMS = ((3, 257), (12, 129), (20, 65), (64, 16), (130, 9), (300, 2), (1000, 1), (131, 65))
_SUMS = pairs(_TERMS, (True, False))

#: So many pools may be large, see ``_large``.
_POOLS = 7


@gradient_prop("gradients.long", needs=FORCED, limit=8, turns=len(_LONG) * LOSSES)
def long(trial: Trial) -> None:
    """Over dozens and hundreds of steps each adjoint still follows from the one after it, and each sum has every step.

    Kernels take the steps in chunks, and sums in tiles, and lose a term at a border. MNN#2500 was wrong at large sizes
    only. Back-propagation that is truncated unasked is right for short sequences.
    """
    small = cut(trial)
    steps = trial.in_turn(_LONG)
    # The tapped models of a stack are wide.
    layers = min(small.recipe.layers, 2) if steps < 100 else 1
    # Lengths of 8 bits end at 127.
    declared = trial.backend.capabilities
    ragged = small.recipe.ragged or (steps == 520 and declared.lengths and declared.batch)
    rows = {"N": min(small.recipe.N, 2), "ragged": ragged, "unbatched": small.recipe.unbatched and not ragged}
    # Through hundreds of steps with large weights adjoints overflow.
    calm = {"fill": "normal", "gain": min(small.recipe.gain, 2.0)} if steps > 100 else {}
    if declared.compiled:
        # Without taps, and where weights are small and the bound hardly accumulates.
        require_right_gradients(trial.resized(**cheap(trial) | {"L": steps, "ragged": False, "gain": 0.3}))
        return
    many = small.derived(layers=layers, L=steps, **rows, **calm)
    many.require(tapped_findings(many, drawn(many)), many.case)


#: Stretches of a sequence of some ten thousand steps.
_STRETCHES = 1430


@gradient_prop(
    "gradients.many-steps",
    needs=(*NEEDS, "loop", "output", "batch"),
    when=lambda r: r.bias and not r.unbatched,
    limit=1,
    cost=Cost.LONGEST,
)
def many_steps(trial: Trial) -> None:
    """The gradients of ten thousand steps are right.

    A backward pass that calls itself for each step overflows the stack (Flux#509 beyond some 4,000 steps). The sequence
    resets itself at every seventh step. So its gradients are those of its stretches as rows of a batch.
    """
    for count in (3, _STRETCHES):
        rows = stretches(trial, count)
        case = rows.case
        loss = Cotangents(draw(case, trial.recipe.seed, "output").output, *zeros(case)[1:])
        sequence = replace(case, x=in_a_row(case.x))
        one = zeros(sequence)._replace(output=in_a_row(loss.output))
        result, grads = rows.vjp(sequence, one)
        found = {**grads, "x": in_stretches(grads["x"])} if "x" in grads else grads
        assert result.output is not None
        findings = free_findings(rows, loss, Result(in_stretches(result.output), None, None), found)
        if count < _STRETCHES and not right(findings):
            # It is wrong of a few steps already, which others tell.
            raise Discard
        with within("the rows of this case one after the other, as one sequence", case):
            rows.require(findings, case)


@gradient_prop("gradients.untapped", needs=(*NEEDS,), turns=LOSSES)
def untapped(trial: Trial) -> None:
    """The gradients of a case as it is, at its own sizes and strides, are within the bound that accumulates.

    Kernels choose their way by size (FlagGems#5014 dropped units past 128) and by strides (pytorch#345 and #619).
    """
    r = trial.recipe
    own = trial if trial.backend.capabilities.fixed else trial.derived(**keeping(r, L=min(r.L, 6)))
    if own.case.steps > 50:
        raise Discard
    require_right_gradients(own)


@gradient_prop("gradients.sums", needs=(*NEEDS, "grad_x", "grad_params", "params"), limit=8, turns=len(_SUMS) * LOSSES)
def sums(trial: Trial) -> None:
    """The gradient of a weight has every step's and row's share once, however many steps and rows there are.

    mxnet#17898 lost the sum so far. Sums over a batch go through tiles, threads and atomic additions.
    """
    r = trial.recipe
    (steps, rows), single = trial.in_turn(_SUMS)
    if r.L * r.N <= 256:
        steps, rows = max(r.L, steps), max(r.N, rows)
    sizes = {"L": steps, "layers": 1 if single else r.layers}
    sizes |= {"N": rows, "unbatched": False} if trial.backend.capabilities.batch else {"N": 1}
    # Without saturation and explosion all shares are of a size.
    many = trial.resized(**cheap(trial) | sizes | {"fill": "normal", "gain": min(r.gain, 1.0)})
    if many.arithmetic is None:
        raise Discard
    sampled = sample(many.case, r.seed)
    wide = many.recipe.I
    if trial.backend.capabilities.compiled and wide == WIDE["I"]:
        # With taps and marks it has as many features as the wide model of other properties.
        many = many.derived(I=2 * wide - sampled.case.config.input_size)
        sampled = sample(many.case, r.seed)
    result, grads = many.vjp(sampled.case, drawn(many))
    assert many.arithmetic is not None
    many.require(list(sampled.findings(result, grads, many.arithmetic)), many.case)


@gradient_prop(
    "gradients.large",
    needs=(*NEEDS, "params"),
    limit=14,
    turns=_POOLS * len(FORMS) * LOSSES,
    cost=Cost.LARGE,
)
def large(trial: Trial) -> None:
    """With many rows, units or features, and in eleven layers, the gradients are within the bound that accumulates.

    Backward kernels have thresholds of their own: cuDNN's persistent one ends at two thirds of the forward's size.
    """
    pool, form = trial.in_turn(pairs(_large(trial), FORMS))
    # Where weights are small, the bound hardly accumulates.
    smallest(trial, form, [sizes | {"gain": 0.3} for sizes in pool], require_right_gradients)


def _large(trial: Trial) -> list[list[dict[str, Any]]]:
    """The kinds of large models and calls that are declared: each a pool of sizes, smaller ones first."""
    declared = trial.backend.capabilities
    batched = {"unbatched": False}
    units = [{"H": size} for size in HIDDEN if size < 600]
    features = [{"I": size} for size in FEATURES if 500 < size < 1100]
    rows = [batched | {"N": size} for size in ROWS]
    rows_and_units = [batched | {"N": 34, "H": 130}]
    # The upper layer passes back to more than 256 features.
    H, both = (160, True) if declared.bidirectional else (300, False)
    wide_layers = [{"H": H, "layers": 2, "bidirectional": both, "proj": 0}]
    if declared.batch and declared.lengths:
        wide_layers = [sizes | batched | {"ragged": True} for sizes in wide_layers]
    many_layers = [{"layers": 11, "H": 5, "proj": 0}]
    # Taps give an upper layer units beyond its own; without them its last one is the last.
    long_layers = [{"layers": 2, "L": 70, "H": 40} | (batched | {"N": 34} if declared.batch else {})]
    return [
        units,
        features,
        *([rows, rows_and_units] if declared.batch else []),
        *([wide_layers, many_layers, long_layers] if declared.layers else []),
    ]


@gradient_prop("gradients.sweep", needs=(*NEEDS, "params"), limit=4, turns=len(SWEPT_NAMES) * LOSSES, cost=Cost.LARGE)
def sweep(trial: Trial) -> None:
    """Gradients are right for every number of features, units, rows and steps up to 20, and every third up to 64.

    A vector's width leaves a remainder that is summed apart. The smallest size that is wrong is reported.
    """
    swept, usual = to_sweep(trial, gain=0.3)
    cotangents = drawn(usual)
    if not right(free_findings(usual, cotangents, *usual.vjp(usual.case, cotangents))):
        raise Discard
    for size in trial.few([size for size in SWEPT_FEW if swept != "H" or size > usual.recipe.proj]):
        require_right_gradients(
            usual.resized(**{swept: size}, ragged=usual.recipe.ragged and (swept, size) != ("L", 1))
        )
