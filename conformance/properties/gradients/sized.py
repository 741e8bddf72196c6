"""Gradients of many steps, rows, units and terms."""

from __future__ import annotations

from typing import Any

from conformance.bounds.forward import Finding
from conformance.instruments.sums import sample
from conformance.properties.gradients.shared import FORCED, NEEDS, cut, drawn, judge_freely, judge_taps, judged, right
from conformance.properties.sizes import FEATURES, HIDDEN, ROWS, SWEPT_FEW, smallest
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial

#: Steps and rows of sums with many terms.
_TERMS = ((3, 257), (12, 129), (20, 65), (64, 16), (130, 9), (300, 2), (1000, 1), (131, 65))


@judged("gradients.long", needs=(*FORCED, "shapes"), limit=8)
def long(trial: Trial) -> None:
    """Over dozens and hundreds of steps each adjoint still follows from the one after it, and no sum lacks a step.

    Kernels take the steps in chunks, and sums in tiles: what crosses a border is lost. MNN#2500 was wrong at large
    sizes only; back-propagation that is truncated without being asked to be is right for short sequences.
    """
    small = cut(trial)
    steps = (40, 520, 70, 140)[small.recipe.seed % 4]
    # The tapped models of a stack are wide.
    layers = min(small.recipe.layers, 2) if steps < 100 else 1
    # Lengths of 8 bits end at 127.
    ragged = small.recipe.ragged or (steps == 520 and trial.backend.capabilities.lengths and not trial.recipe.unbatched)
    # Through hundreds of steps with large weights adjoints overflow.
    calm = {"fill": "normal", "gain": min(small.recipe.gain, 2.0)} if steps > 100 else {}
    many = small.derived(layers=layers, L=steps, N=min(small.recipe.N, 2), ragged=ragged, **calm)
    many.require(judge_taps(many, drawn(many)), many.case)


@judged("gradients.untapped", needs=(*NEEDS,))
def untapped(trial: Trial) -> None:
    """The gradients of a case as it is, at its own sizes and strides, are within the bound that accumulates.

    FlagGems#5014 dropped units past 128: kernels choose their way by size; pytorch#345 and #619, by strides.
    """
    r = trial.recipe
    own = trial if trial.backend.capabilities.fixed else trial.derived(L=min(r.L, 6))
    if own.case.steps > 50:
        raise Discard
    cotangents = drawn(own)
    result, grads = own.vjp(own.case, cotangents)
    own.require(judge_freely(own, cotangents, result, grads), own.case)


@judged("gradients.sums", needs=(*NEEDS, "params", "shapes"), limit=8)
def sums(trial: Trial) -> None:
    """However many steps and rows there are, the gradient of a weight has every step's and row's share, once.

    mxnet#17898 lost what had been added up before. Sums over a batch go through tiles, threads and atomic additions.
    """
    r = trial.recipe
    steps, rows = _TERMS[r.seed % len(_TERMS)]
    alone = r.unbatched or not trial.backend.capabilities.batch
    terms = {} if r.L * r.N > 256 else {"L": max(r.L, steps), "N": 1 if alone else max(r.N, rows)}
    layers = (1, r.layers)[trial.pick("layers", 2)]
    # Without saturation and explosion all shares are of a size.
    many = trial.resized(**terms, layers=layers, fill="normal", gain=min(r.gain, 1.0))
    if many.arithmetic is None:
        raise Discard
    sampled = sample(many.case, r.seed)
    result, grads = many.vjp(sampled.case, drawn(many))
    many.require(list(sampled.findings(result, grads, many.arithmetic)), many.case)


@judged("gradients.large", needs=(*NEEDS, "params", "shapes"), limit=14)
def large(trial: Trial) -> None:
    """With many rows, units or features, and in eleven layers, the gradients are within the bound that accumulates.

    Backward kernels have thresholds of their own: cuDNN's persistent one ends at two thirds of the forward's size.
    """

    def judge(probe: Trial) -> None:
        cotangents = drawn(probe)
        result, grads = probe.vjp(probe.case, cotangents)
        probe.require(judge_freely(probe, cotangents, result, grads), probe.case)

    declared = trial.backend.capabilities
    batched = declared.batch and not trial.recipe.unbatched
    kinds: list[list[dict[str, Any]]] = [
        [{"H": size} for size in HIDDEN if size < 600],
        [{"I": size} for size in FEATURES if 500 < size < 1100],
    ]
    if batched:
        kinds += [[{"N": size} for size in ROWS], [{"N": 34, "H": 130}]]
    if declared.layers:
        # The upper layer passes back to more than 256 features.
        H, both = (160, True) if declared.bidirectional else (300, False)
        kinds.append([{"H": H, "layers": 2, "bidirectional": both, "proj": 0, "ragged": batched and declared.lengths}])
        kinds.append([{"layers": 11, "H": 5, "proj": 0}])
        # Taps give an upper layer units beyond its own; without them its last one is the last.
        kinds.append([{"layers": 2, "L": 70, "H": 40} | ({"N": 34} if batched else {})])
    # Every run's fixed set has the same remainders of division by 1,000.
    kind = kinds[trial.recipe.seed % 1000 % len(kinds)]
    # Where weights are small, the bound hardly accumulates.
    pool = [sizes | {"gain": 0.3} for sizes in kind]
    smallest(trial, "large", pool, judge)


@judged("gradients.sweep", needs=(*NEEDS, "params", "shapes"), limit=4)
def sweep(trial: Trial) -> None:
    """Gradients are right for every number of features, units, rows and steps up to 20, and every third up to 64.

    What a vector leaves over is summed apart. The smallest size that is wrong is told.
    """
    r, declared = trial.recipe, trial.backend.capabilities
    alone = r.unbatched or not declared.batch
    swept = ("I", "H", "L" if alone else "N", "L")[r.seed % 4]
    usual = trial.resized(I=3, H=3, N=1 if alone else 2, L=2, proj=0, layers=1, view="plain", fill="normal", gain=0.3)

    def findings(probe: Trial) -> list[Finding]:
        cotangents = drawn(probe)
        return judge_freely(probe, cotangents, *probe.vjp(probe.case, cotangents))

    if not right(findings(usual)):
        raise Discard
    for size in SWEPT_FEW:
        probe = usual.resized(**{swept: size}, ragged=r.ragged and (swept, size) != ("L", 1))
        probe.require(findings(probe), probe.case)
