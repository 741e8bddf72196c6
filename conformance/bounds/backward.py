"""How far a correct gradient may be from the reference's: the backward pass, forced step by step, with its error bound.

The equations are those of ``reference/backward.py``, every number a value and a bound on its error. The values of the
forward pass are computed from the outputs that the vjp itself returned (``bounds/forward.py``): a library's forward
passes with and without gradients may round differently.

Where the adjoints ∂a_t of the preactivations are **observed** (``instruments/taps.py`` says how), each step is judged
by itself: the implementation's own ∂a_{t+1} gives ∂h_t, only ∂c is integrated, with gain f ≤ 1, and nothing is
amplified by the weights at any L. Where they are not, the pass runs freely, and its bound accumulates: rigorous, and
loose where the weights are large or the steps many. docs/gradients.md derives the constants and tells the measurements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from conformance.bounds.forward import Expectation, Expected, Finding, Steps, compare, finding, joined, same_below
from conformance.bounds.rounding import (
    EXACT,
    Approx,
    Arithmetic,
    Weight,
    concatenate,
    dot,
    sigmoid_derivative,
    spread,
    stack,
)
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents
from conformance.reference.backward import Gradients, last_steps
from conformance.reference.forward import time_order, weights
from conformance.spec import Array, LSTMConfig, Result, Slot

#: An activation's derivative may be off by this many unit roundoffs of its own, relatively, beside the error of its
#: argument: 1/cosh² with a cosh of 4 ulps needs 22.
SLOPE_ULPS = 24.0

#: The adjoints of each layer and direction's preactivations, (L, N, 4H) in the order of time.
Adjoints = dict[Slot, Approx]

#: Adjoints (T, N, 4H), each with the transposed weight by which they are passed back.
Passed = list[tuple[Approx, Array]]

#: The same as factors of a product.
Terms = list[tuple[Approx, Weight]]


def sigmoid_slope(a: Approx, y: Approx) -> Approx:
    """σ′(a), whether it is computed from a or as y(1 − y) from y = σ(a): d(y(1 − y)) = (1 − 2y)dy − dy²."""
    value = sigmoid_derivative(a.value)
    carried = np.abs(1.0 - 2.0 * y.value) * y.error + y.error**2
    return Approx(value, y.capped(carried, 0.25) + SLOPE_ULPS * a.arithmetic.unit * value, a.arithmetic)


def tanh_slope(a: Approx, y: Approx) -> Approx:
    """tanh′(a), whether it is computed from a or as 1 − y² from y = tanh(a), where y² is rounded before it cancels."""
    value = 4.0 * sigmoid_derivative(2.0 * a.value)
    carried = 2.0 * np.abs(y.value) * y.error + y.error**2
    rounded = a.arithmetic.unit * (SLOPE_ULPS * value + y.value**2)
    return Approx(value, y.capped(carried, 1.0) + rounded, a.arithmetic)


@dataclass(frozen=True)
class LayerAdjoint:
    """One layer and direction in the order it reads the steps: a (L, N, 4H), h (L, N, P), c_0 (N, H)."""

    a: Approx
    h: Approx
    c_0: Approx


def layer(
    p: dict[str, Array], steps: Steps, valid: Array, above: Terms, cotangents: Cotangents, observed: Approx | None
) -> LayerAdjoint:
    """The adjoints that one layer and direction must pass back, in the order it reads the steps; ``valid`` (L, N, 1).

    ``above`` holds the adjoints of the layer above, each with the weight (P, 4H) by which it reads this one; the
    cotangents are output (L, N, P), h_n (N, P), c_n (N, H); ``observed`` its own adjoints (L, N, 4H), None if unseen.
    """
    loss = [cotangents.output * valid, cotangents.h_n * last_steps(valid)]
    grad_c = Approx(cotangents.c_n, np.zeros_like(cotangents.c_n), steps.a.arithmetic)
    slopes, hh = _slopes(steps), Weight(p["weight_hh"].T)
    hr = Weight(p["weight_hr"].T) if "weight_hr" in p else None
    if observed is not None:
        after = later(observed.masked(valid))
        a, h, c_0 = _steps(hr, steps, slopes, valid, [(after, hh), *above], loss, grad_c)
    else:
        after = Approx(np.zeros_like(steps.a.value[:1]), EXACT, steps.a.arithmetic)
        all_a, all_h = [], []
        for t in reversed(range(len(valid))):
            one = slice(t, t + 1)
            terms = [(after, hh), *((adjoint[one], weight) for adjoint, weight in above)]
            here = Steps(*(part[one] for part in steps)), [slope[one] for slope in slopes], valid[one]
            after, h, grad_c = _steps(hr, *here, terms, [part[one] for part in loss], grad_c)
            after = after.masked(valid[one])
            all_a.append(after)
            all_h.append(h)
        a, h, c_0 = concatenate(all_a[::-1], 0), concatenate(all_h[::-1], 0), grad_c
    return LayerAdjoint(a.masked(valid), h.masked(valid), c_0)


def _steps(
    hr: Weight | None, s: Steps, slopes: list[Approx], valid: Array, terms: Terms, loss: list[Array], grad_c: Approx
) -> tuple[Approx, Approx, Approx]:
    """Consecutive steps whose next adjoints are among ``terms``: their ∂a (T, N, 4H) and ∂h, and ∂c before them."""
    slope_i, slope_f, slope_g, slope_o, slope_c = slopes
    grad_h = grad_m = dot(terms, loss, "any")
    if hr is not None:
        grad_m = dot([(grad_h, hr)], [], "any")
    own = grad_m * s.o * slope_c
    cells = []
    for t in reversed(range(len(valid))):
        total = own[t] + grad_c
        cells.append(total)
        passed = total * s.f[t]
        grad_c = passed if valid[t].all() else passed.where(valid[t], grad_c)
    c = stack(cells[::-1])
    gates = [c * s.g * slope_i, c * s.c_before * slope_f, c * s.i * slope_g, grad_m * s.tanh_c * slope_o]
    return concatenate(gates, 2), grad_h, grad_c


def _slopes(s: Steps) -> list[Approx]:
    """The derivatives of i, f, g, o and tanh(c_t)."""
    H = s.c.value.shape[2]
    a_i, a_f, a_g, a_o = (s.a[..., gate * H : (gate + 1) * H] for gate in range(4))
    of_i, of_f, of_o = (sigmoid_slope(a, y) for a, y in ((a_i, s.i), (a_f, s.f), (a_o, s.o)))
    return [of_i, of_f, tanh_slope(a_g, s.g), of_o, tanh_slope(s.c, s.tanh_c)]


def later(values: Approx) -> Approx:
    """The values of the step that is read next, zero after the last."""
    nothing = np.zeros_like(values.value[:1])
    return concatenate([values[1:], Approx(nothing, nothing, values.arithmetic)], 0)


def outer(a: Approx, b: Approx, valid: Array) -> Approx:
    """Σ a bᵀ over valid steps and rows, in any order: a (L, N, m), b (L, N, n) -> (m, n)."""
    on = valid[..., 0]
    a, b = a[on], b[on]
    total = dot([(Approx(a.value.T, spread(a.error, a.value.shape).T, a.arithmetic), b.value.T)], [], "any")
    if not b.error.ndim:
        return total
    inherited = a.largest.T @ b.error
    growth = 1 + 2 * (len(a.value) + 1) * a.arithmetic.accumulate
    error = total.error + growth * inherited
    return a.arithmetic.bounded(total.value, error, np.abs(total.value) + error)


def scaled(values: Approx, scale: Array) -> Approx:
    """The product with zeros and powers of two, which is exact."""
    value, error = values.value * scale, values.error * np.abs(scale)
    return values.arithmetic.bounded(value, error, np.abs(value) + error)


def forward_pass(
    case: Case,
    results: Sequence[Result | None],
    declared: Arithmetic,
    scales: Sequence[Array],
    strays: Sequence[float],
) -> list[list[Expected]]:
    """Each layer's directions, from the results of the first 1 … k layers; one is None if it was not seen.

    A lower layer's output is taken from a run of the first layers if the whole run's lower final states are its; the
    next one reads it multiplied by its scale, and the stray of this layer besides.
    """
    config, expectation, whole = case.config, Expectation(case, declared), results[-1]
    assert whole is not None
    below, layers = expectation.x, []
    for k, result in enumerate(results):
        slots = (k + 1) * config.num_directions
        trusted = result is not None and (result is whole or same_below(result, whole, slots))
        output = result.in_float64().output if result is not None and trusted else None
        layers.append(expectation.layer(k, below, output, strays[k - 1] if k and strays else 0.0, keep=True))
        below = joined(layers[k]) if output is None else declared.observed(output)
        below = scaled(below, scales[k]) if k < len(scales) else below
    return layers


def free_running(
    case: Case, cotangents: Cotangents, passes: list[list[Expected]], declared: Arithmetic
) -> dict[str, Approx]:
    """Every gradient in canonical layout with its bound, nothing observed: of x, h_0, c_0 and of each parameter.

    ``passes`` are each layer's directions of the forward pass.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        swept = list(_sweep(case, cotangents, passes, declared, None, ()))
        of = {one.slot: _gradients(one.p, one.slot, one.a, one.want, one.steps, case.valid) for one in swept}
        states = {name: stack([of[slot].pop(name) for slot in case.config.slots()]) for name in ("h_0", "c_0")}
        terms = [one.passed_on(case, one.a) for one in swept[-case.config.num_directions :]]
        made = {"x": dot(terms, [], "any").masked(case.valid)} | states
        return made | {name: value for parts in of.values() for name, value in parts.items()}


def judge(
    case: Case,
    cotangents: Cotangents,
    results: Sequence[Result | None],
    grads: Gradients,
    declared: Arithmetic,
    observed: Adjoints | None = None,
    scales: Sequence[Array] = (),
    strays: Sequence[float] = (),
) -> list[Finding]:
    """Compare a vjp's results and gradients, all canonical, with what they must be.

    ``results`` are those of the first 1 … k layers as far as they were seen, the last being the vjp's own. ``scales``
    (L, N, D·P) are what dropout multiplied the layers' outputs by below the next one, 0 or powers of two, ``strays``
    what else each layer may add to a preactivation of the next one. Tensors are named "output", "h_n" and "c_n",
    "grad preactivations_l0" where they are observed, "grad x", "grad weight_ih_l0" …
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return list(_compared(case, cotangents, results, grads, declared, observed, scales, strays))


def _compared(
    case: Case,
    cotangents: Cotangents,
    results: Sequence[Result | None],
    grads: Gradients,
    declared: Arithmetic,
    observed: Adjoints | None,
    scales: Sequence[Array],
    strays: Sequence[float],
) -> Iterator[Finding]:
    config, valid, last = case.config, case.valid, results[-1]
    layers, top = config.num_layers, config.num_layers - 1
    assert last is not None
    result, passes = last.in_float64(), forward_pass(case, results, declared, scales, strays)
    swept = list(_sweep(case, cotangents, passes, declared, observed, scales))
    for slot, p, steps, want, a, _ in swept:
        half, at = passes[slot.layer][slot.direction], slot.position(config)
        yield from compare(config, layers, slot, half, result if slot.layer == top else result._replace(output=None))
        for tensor, expected in _gradients(p, slot, a, want, steps, valid).items():
            if tensor in grads:
                actual = grads[tensor][at] if tensor in ("h_0", "c_0") else grads[tensor]
                yield finding("grad " + tensor, layers, slot, actual, expected)
    lowest = swept[-config.num_directions :]
    # The taps of a direction whose share is left out show nothing of it: so the adjoints that it must have count too.
    passed = [one.a for one in lowest], [one.want.a for one in lowest]
    for adjoints in passed[: 0 if "x" not in grads else 1 if observed is None else 2]:
        terms = [one.passed_on(case, a) for one, a in zip(lowest, adjoints, strict=True)]
        yield finding("grad x", layers, Slot(0, 0), grads["x"], dot(terms, [], "any").masked(valid))
    lost = any(one.seen is not None and np.isnan(one.seen.value).any() for one in swept)
    free = list(_sweep(case, cotangents, passes, declared, None, scales)) if lost else []
    yield from _readings(case, swept, free)


class _Swept(NamedTuple):
    """One layer and direction of a backward pass, in the order in which it reads the steps."""

    slot: Slot
    p: dict[str, Array]
    steps: Steps
    want: LayerAdjoint
    #: Its adjoints (L, N, 4H): those that were read off, 0 where a row has ended, or else the expected ones.
    a: Approx
    #: As they were read off.
    seen: Approx | None

    def passed_on(self, case: Case, a: Approx) -> tuple[Approx, Array]:
        """Adjoints in the order of time, and the weight by which they are passed to what it reads."""
        return a.time_order(case.row_lengths(), self.slot.reverse), self.p["weight_ih"].T


def _sweep(
    case: Case,
    cotangents: Cotangents,
    passes: list[list[Expected]],
    declared: Arithmetic,
    observed: Adjoints | None,
    scales: Sequence[Array],
) -> Iterator[_Swept]:
    """Every layer and direction of a backward pass, from the top layer down."""
    config, lengths, valid = case.config, case.row_lengths(), case.valid
    grad_output, grad_h_n, grad_c_n = (np.asarray(part, np.float64) for part in cotangents)
    below: Passed = []
    for k in reversed(range(config.num_layers)):
        above, below = below, []
        if k < config.num_layers - 1:
            grad_output = np.zeros((case.steps, case.batch, config.layer_input_size(k + 1)))
        for slot, half in zip(config.slots(k), passes[k], strict=True):
            p, steps, at = weights(case.params, slot), _all_steps(half.spans), slot.position(config)
            read = None if observed is None else observed[slot].time_order(lengths, slot.reverse)
            seen = None if read is None else declared.observed(read.value, read.error)
            from_above = _from_above(config, slot, lengths, above, scales[k] if above and scales else None)
            output = time_order(grad_output[..., slot.features(config)], lengths, slot.reverse)
            want = layer(p, steps, valid, from_above, Cotangents(output, grad_h_n[at], grad_c_n[at]), seen)
            one = _Swept(slot, p, steps, want, want.a if seen is None else seen.masked(valid), read)
            below.append(one.passed_on(case, one.a))
            yield one


def _readings(case: Case, swept: list[_Swept], free: list[_Swept]) -> Iterator[Finding]:
    """The adjoints that were read off beside the expected ones, in the order in which each layer reads the steps.

    All those of one step and row are read off one product, whose weights are 0 for the others: one that overflows
    makes all of them NaN. So a NaN is excused where any of the ``free`` pass, which no NaN has reached, may overflow.
    """
    lengths, spoiled = case.row_lengths(), np.zeros(case.valid.shape, bool)
    for one in free:
        unknown = np.asarray(np.isinf(one.want.a.error).any(2, keepdims=True))
        spoiled |= time_order(unknown, lengths, one.slot.reverse)
    for slot, _, _, want, _, seen in swept:
        if seen is not None:
            # What is not finite has no error of its own: where there is a bound it fails.
            lost = np.isnan(seen.value)
            error = want.a.error + np.where(lost, 0.0, seen.error)
            error = np.where(lost & time_order(spoiled, lengths, slot.reverse), np.inf, error)
            expected = Approx(want.a.value, error, want.a.arithmetic)
            yield finding("grad preactivations" + slot.suffix, case.config.num_layers, slot, seen.value, expected)


def _from_above(config: LSTMConfig, slot: Slot, lengths: Array, above: Passed, scale: Array | None) -> Terms:
    """The terms of ∂h that come from the layer above, in the order in which this layer and direction reads the steps.

    With dropout between them, their sum is multiplied by ``scale`` (L, N, D·P).
    """
    own = slot.features(config)
    terms = [(adjoint.time_order(lengths, slot.reverse), Weight(weight[own])) for adjoint, weight in above]
    if scale is None:
        return terms
    kept = scaled(dot(terms, [], "any"), time_order(scale[..., own], lengths, slot.reverse))
    return [(kept, Weight(np.eye(config.output_size)))]


def _gradients(
    p: dict[str, Array], slot: Slot, a: Approx, want: LayerAdjoint, steps: Steps, valid: Array
) -> dict[str, Approx]:
    """The gradients of one layer and direction's h_0 (N, P), c_0 (N, H) and parameters, by their full names."""
    params = {"weight_ih": outer(a, steps.x, valid), "weight_hh": outer(a, steps.h_before, valid)}
    if "bias_ih" in p:
        ones = Approx(np.ones((*valid.shape[:2], 1)), EXACT, a.arithmetic)
        params["bias_ih"] = params["bias_hh"] = outer(a, ones, valid)[:, 0]
    if "weight_hr" in p:
        params["weight_hr"] = outer(want.h, steps.m, valid)
    grads = {"h_0": dot([(a[0], p["weight_hh"].T)], [], "any"), "c_0": want.c_0}
    return grads | {name + slot.suffix: value for name, value in params.items()}


def _all_steps(spans: list[Steps]) -> Steps:
    """All steps together."""
    return spans[0] if len(spans) == 1 else Steps(*(concatenate(list(parts), 0) for parts in zip(*spans, strict=True)))
