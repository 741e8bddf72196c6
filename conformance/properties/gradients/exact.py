"""Gradients that are known without a bound: sums of dyadic numbers, zeros, and the results of another vjp."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.bounds import backward as adjoint
from conformance.bounds.forward import Finding
from conformance.bounds.rounding import Arithmetic, arithmetic
from conformance.cases.cotangents import zeros
from conformance.cases.fills import normal
from conformance.instruments.exact import dyadic as dyadic_case
from conformance.instruments.saturation import saturates
from conformance.properties.gradients.shared import (
    FORCED,
    LOSSES,
    NEEDS,
    cut,
    drawn,
    gradient_prop,
    overflows,
    require_same_gradients,
    tapped_findings,
)
from conformance.trials.agreement import right
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial


@gradient_prop("gradients.dyadic", needs=FORCED)
def dyadic(trial: Trial) -> None:
    """With every activation at 0, ½ or ±1 the gradients are exact sums of small dyadic numbers, in any order.

    DL4J#8838 dropped dL/dc_n. A term that is dropped, or off by 1e-6, shows here however small it is beside the rest.
    """
    small = cut(trial)
    if small.arithmetic is None:
        raise Discard
    given = "both" if trial.backend.capabilities.initial_state else "none"
    one = small.derived(layers=1, state=given, fill="normal")
    exact = dyadic_case(one.case, one.recipe.seed, small.arithmetic)
    result, grads = one.vjp(exact.case, exact.cotangents)
    pairs = [(a, b) for a, b in zip(result, exact.result, strict=True) if a is not None and b is not None]
    exactly = all(np.array_equal(a, b) for a, b in pairs)
    bits = exactly and trial.backend.capabilities.deterministic and not small.arithmetic.given
    # Far below what any of the sums is made of: a derivative of 1e-50 that is not flushed.
    wrong = {
        name: exact.exact[name] & ~(np.abs(np.asarray(value, np.float64) - exact.grads[name]) <= 2.0**-60)
        for name, value in grads.items()
    }
    if bits and not any(part.any() for part in wrong.values()):
        return

    def findings(declared: Arithmetic) -> list[Finding]:
        observed = exact.adjoints(grads["x"], declared) if "x" in grads else None
        return list(adjoint.judge(exact.case, exact.cotangents, [result], grads, declared, observed))

    # Where activations are exact in this dtype they may be some ulps off in float64, in which all may be computed.
    inside = small.arithmetic if small.case.config.dtype == "float64" else arithmetic("float64", {})
    assert inside is not None
    if bits and saturates(exact, lambda case: one.vjp(case, zeros(case))[0]):
        if inside is not small.arithmetic and right(findings(inside)):
            return
        name = next(name for name, part in wrong.items() if part.any())
        at = tuple(int(k) for k in np.argwhere(wrong[name])[0])
        want, got = exact.grads[name][at], grads[name][at]
        raise Violation(f"grad {name}{list(at)} expected {want:.9g} exactly, got {got:.9g}", case=exact.case)
    # Its activations are off by some ulps at 0 or at saturation, as they may be.
    one.require(findings(small.arithmetic), exact.case)


#: Factors of the cotangents.
_FACTORS = (-2.0, 2.0**24, 2.0**-24, 64.0)


@gradient_prop("gradients.linear", needs=("gradients",), turns=len(_FACTORS) * LOSSES)
def linear(trial: Trial) -> None:
    """The gradient is linear in the cotangents: 0 for cotangents of 0, and exactly twice as large for twice as large.

    Gradients that are clipped, and buffers that were not cleared (tflite-micro#2449), show here. A loss that is a mean
    over millions has cotangents as much smaller, and one that is scaled up for 16 bits as much larger.
    """
    small = cut(trial)
    case, cotangents = small.case, drawn(small)
    nothing = small.vjp(case, zeros(case))
    for name, value in nothing[1].items():
        if not (value == 0).all():
            if np.isnan(value).any() and overflows(small, case, zeros(case), nothing):
                raise Discard
            at = tuple(int(k) for k in np.argwhere(value != 0)[0])
            raise Violation(f"grad {name}{list(at)} is {value[at]:.9g} though no cotangent is other than 0", case=case)
    # Sums in 16 bits underflow, and overflow.
    narrow = small.arithmetic is None or small.arithmetic.tiny > float(np.finfo(case.x.dtype).smallest_normal)
    if narrow or not trial.backend.capabilities.deterministic:
        return
    # From a largest of 1 to 2, so that a factor takes all of them as far.
    largest = max(float(np.abs(part).max(initial=0.0)) for part in cotangents)
    cotangents = cotangents.scaled(2.0 ** -np.floor(np.log2(largest)))
    factor = trial.in_turn(_FACTORS)
    model = small.model(case)
    losses = cotangents, cotangents.scaled(factor)
    once, scaled = (small.vjp(case, loss, model) for loss in losses)
    # Numbers that underflow are rounded otherwise.
    tiny = 2.0**20 * max(factor, 1.0) * float(np.finfo(case.x.dtype).smallest_normal)
    for name, value in once[1].items():
        want, got = (np.asarray(v, np.float64) for v in (value * value.dtype.type(factor), scaled[1][name]))
        with np.errstate(invalid="ignore"):
            wrong = ~((want == got) | (np.abs(want - got) <= tiny))
        if wrong.any():
            finite = np.isfinite(want[wrong]).all() and np.isfinite(got[wrong]).all()
            if not finite and any(overflows(small, case, *pair) for pair in zip(losses, (once, scaled), strict=True)):
                raise Discard
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            message = f"grad {name}{list(at)} is {got[at]:.9g} for {factor:g} times the cotangents, not {want[at]:.9g}"
            raise Violation(message, case=case)


@gradient_prop("gradients.causality", needs=("gradients", "grad_x", "output"), when=lambda r: r.L >= 2, turns=2)
def causality(trial: Trial) -> None:
    """A loss on one step's output has no gradient at the inputs read after that step, in either direction: exactly 0.

    tensorflow#40345 and onnx2tf PR287 left the reverse direction in reverse time, with its gradient at the wrong end.
    """
    small = cut(trial)
    if small.case.config.bidirectional and small.case.config.num_layers > 1:
        if small.case.fixed:
            raise Discard
        small = small.derived(layers=1)
    case, config = small.case, small.case.config
    if case.steps < 2:
        raise Discard
    t = small.pick("causality", case.steps)
    direction = trial.in_turn(range(config.num_directions))
    P = config.output_size
    loss = zeros(case)
    own = slice(direction * P, (direction + 1) * P)
    loss.output[t, :, own] = normal(small.recipe.seed, "one step", (case.batch, P)).astype(case.x.dtype)
    loss.output[t, case.row_lengths() <= t] = 0
    grad_x = small.vjp(case, loss)[1]["x"]
    first, unread = (0, grad_x[:t]) if direction else (t + 1, grad_x[t + 1 :])
    if not (unread == 0).all():
        at = [int(k) for k in np.argwhere(unread != 0)[0]]
        value = unread[tuple(at)]
        at[0] += first
        half = "the reverse" if direction else "the forward"
        raise Violation(f"grad x{at} is {value:.9g} though the loss is on {half} output of step {t} alone", case=case)


@gradient_prop(
    "gradients.padding", needs=(*FORCED, "grad_x", "lengths"), when=lambda r: r.L >= 2 and not r.unbatched, turns=LOSSES
)
def padding(trial: Trial) -> None:
    """Past a row's length the gradient of x is exactly 0, and the contents of x and of the cotangents are not read.

    keras#4192: the padding's contents reached the backward state; jax PR15169 left numbers in it. A gradient that is
    masked by a product is NaN where the padding is NaN.
    """
    if trial.backend.capabilities.compiled and not trial.recipe.ragged:
        raise Discard
    ragged = trial.once("padded", lambda: cut(trial).derived(ragged=True))
    case = ragged.case
    if case.lengths is None or not (case.lengths < case.steps).any():
        raise Discard
    cotangents = drawn(ragged)
    past = np.arange(case.steps)[:, None] >= case.lengths
    noise = 100 * normal(ragged.recipe.seed, "past the end", cotangents.output.shape)
    spoiled = cotangents._replace(output=np.where(past[..., None], noise, cotangents.output).astype(case.x.dtype))
    masked = replace(case, x=np.where(past[..., None], np.nan, case.x).astype(case.x.dtype))
    result, grads = ragged.vjp(masked, spoiled)
    for name, value in grads.items():
        if np.isnan(value).any():
            if overflows(ragged, case, spoiled, (result, grads)):
                raise Discard
            raise Violation(f"grad {name} is not a number where the padding of x is none", case=masked)
    grad_x = grads["x"]
    if not (grad_x[past] == 0).all():
        n, t = (int(k) for k in np.argwhere((past & (grad_x != 0).any(2)).T)[0])
        raise Violation(f"grad x[{t}, {n}] is not 0, though row {n} ends after {case.lengths[n]} steps", case=case)
    # The oracle reads no cotangents there, so that the same comparisons hold.
    findings = tapped_findings(ragged, spoiled)
    if not right(findings) and not right(tapped_findings(ragged, cotangents)):
        raise Discard
    ragged.require(findings, case)


@gradient_prop("gradients.none-is-zeros", needs=(*NEEDS, "initial_state"), turns=LOSSES)
def none_is_zeros(trial: Trial) -> None:
    """Without an initial state the gradients are those at a state of zeros, h_0's and c_0's included.

    mlx#3249: None and zeros gave different results.
    """
    small = cut(trial).derived(state="none")
    cotangents = drawn(small)
    given = replace(small.case, state=small.case.initial())
    without, zeros_given = (small.vjp(case, cotangents) for case in (small.case, given))
    require_same_gradients(small, cotangents, without, zeros_given)
