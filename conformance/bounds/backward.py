"""How far a correct gradient may be from the oracle's: the backward pass, forced step by step, with its error bound.

The equations are those of ``gradients.py``, every number a value and a bound on its error (``bounds.py``). What the
forward pass went through is computed from the outputs that the vjp itself returned: a library's forward passes with
and without gradients may round differently.

Where the adjoints ∂a_t of the preactivations are **observed** (``taps.py`` says how), each step is judged by itself:
the implementation's own ∂a_{t+1} gives ∂h_t, only ∂c is integrated, with gain f ≤ 1, and nothing is amplified by the
weights at any L. Where they are not, the pass runs freely, and its bound accumulates: rigorous, and loose where the
weights are large or the steps many. docs/gradients.md derives the constants and says what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.bounds.forward import Expectation, Expected, Finding, Steps, compare, same_lower_states
from conformance.bounds.rounding import EXACT, Approx, Arithmetic, concatenate, dot, stack
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents
from conformance.reference.backward import Gradients
from conformance.reference.forward import time_order, weights
from conformance.spec import Array, Result, suffix

#: An activation's derivative may be off by this many unit roundoffs of its own, beside what its argument brings along.
SLOPE_ULPS = 8.0

#: Adjoints of the preactivations by layer and direction: (L, N, 4H), in the order of time.
Adjoints = list[list[Approx]]


def sigmoid_slope(a: Approx, y: Approx) -> Approx:
    """σ′(a), whether it is computed from a or as y(1 − y) from y = σ(a): d(y(1 − y)) = (1 − 2y)dy − dy²."""
    e = np.exp(-np.abs(a.value))
    value = e / (1.0 + e) ** 2
    carried = np.abs(1.0 - 2.0 * y.value) * y.error + y.error**2
    return Approx(value, np.minimum(carried, 0.25) + SLOPE_ULPS * a.arithmetic.unit * value, a.arithmetic)


def tanh_slope(a: Approx, y: Approx) -> Approx:
    """tanh′(a), whether it is computed from a or as 1 − y² from y = tanh(a), where y² is rounded before it cancels."""
    e = np.exp(-2.0 * np.abs(a.value))
    value = 4.0 * e / (1.0 + e) ** 2
    carried = 2.0 * np.abs(y.value) * y.error + y.error**2
    rounded = a.arithmetic.unit * (SLOPE_ULPS * value + y.value**2)
    return Approx(value, np.minimum(carried, 1.0) + rounded, a.arithmetic)


@dataclass(frozen=True)
class LayerAdjoint:
    """One layer and direction in the order it reads the steps: a (L, N, 4H), h (L, N, P), c_0 (N, H)."""

    a: Approx
    h: Approx
    c_0: Approx


def layer(
    p: dict[str, Array],
    steps: Steps,
    valid: Array,
    above: list[tuple[Approx, Array]],
    cotangents: Cotangents,
    observed: Approx | None,
) -> LayerAdjoint:
    """What one layer and direction must pass back, in the order it reads the steps; ``valid`` (L, N, 1).

    ``above`` holds the adjoints of what reads this layer, each with its weight (P, 4H); the cotangents are output
    (L, N, P), h_n (N, P), c_n (N, H); ``observed`` its own adjoints (L, N, 4H), None if unseen.
    """
    last = valid & ~np.concatenate([valid[1:], np.zeros_like(valid[:1])])
    loss = [cotangents.output * valid, cotangents.h_n * last]
    grad_c = Approx(cotangents.c_n, np.zeros_like(cotangents.c_n), steps.a.arithmetic)
    slopes = _slopes(steps)
    if observed is not None:
        after = later(masked(observed, valid))
        a, h, c_0 = _steps(p, steps, slopes, valid, [(after, p["weight_hh"].T), *above], loss, grad_c)
    else:
        after = Approx(np.zeros_like(steps.a.value[:1]), EXACT, steps.a.arithmetic)
        found_a, found_h = [], []
        for t in reversed(range(len(valid))):
            one = slice(t, t + 1)
            terms = [(after, p["weight_hh"].T), *((adjoint[one], weight) for adjoint, weight in above)]
            here = Steps(*(part[one] for part in steps)), [slope[one] for slope in slopes], valid[one]
            after, h, grad_c = _steps(p, *here, terms, [part[one] for part in loss], grad_c)
            after = masked(after, valid[one])
            found_a.append(after)
            found_h.append(h)
        a, h, c_0 = concatenate(found_a[::-1], 0), concatenate(found_h[::-1], 0), grad_c
    return LayerAdjoint(masked(a, valid), masked(h, valid), c_0)


def _steps(
    p: dict[str, Array],
    s: Steps,
    slopes: list[Approx],
    valid: Array,
    terms: list[tuple[Approx, Array]],
    loss: list[Array],
    grad_c: Approx,
) -> tuple[Approx, Approx, Approx]:
    """Consecutive steps whose next adjoints are among ``terms``: all ∂a (T, N, 4H) and ∂h, and what goes on of ∂c."""
    slope_i, slope_f, slope_g, slope_o, slope_c = slopes
    grad_h = grad_m = dot(terms, loss, "any")
    if "weight_hr" in p:
        grad_m = dot([(grad_h, p["weight_hr"].T)], [], "any")
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
    return [
        sigmoid_slope(a_i, s.i),
        sigmoid_slope(a_f, s.f),
        tanh_slope(a_g, s.g),
        sigmoid_slope(a_o, s.o),
        tanh_slope(s.c, s.tanh_c),
    ]


def masked(values: Approx, valid: Array) -> Approx:
    """Exactly zero where not valid."""
    return Approx(np.where(valid, values.value, 0.0), np.where(valid, values.error, 0.0), values.arithmetic)


def later(values: Approx) -> Approx:
    """The values of the step that is read next, zero after the last."""
    nothing = np.zeros_like(values.value[:1])
    return concatenate([values[1:], Approx(nothing, nothing, values.arithmetic)], 0)


def outer(a: Approx, b: Approx, valid: Array) -> Approx:
    """Σ a bᵀ over valid steps and rows, in any order: a (L, N, m), b (L, N, n) -> (m, n)."""
    on = valid[..., 0]
    a, b = a[on], b[on]
    found = dot([(Approx(a.value.T, np.broadcast_to(a.error, a.value.shape).T, a.arithmetic), b.value.T)], [], "any")
    if not b.error.ndim:
        return found
    inherited = (np.abs(a.value) + a.error).T @ b.error
    growth = 1 + 2 * (len(a.value) + 1) * a.arithmetic.accumulate
    return Approx(found.value, found.error + growth * inherited, a.arithmetic)


def scaled(values: Approx, scale: Array) -> Approx:
    """The product with zeros and powers of two, which is exact."""
    return Approx(values.value * scale, values.error * np.abs(scale), values.arithmetic)


def forward(
    case: Case, results: Sequence[Result | None], declared: Arithmetic, scales: Sequence[Array]
) -> list[list[Expected]]:
    """What each layer and direction went through, from what the first 1 … k layers returned, None where unseen.

    A lower layer's output is taken from a run of the first layers if the whole run's lower final states are its; the
    next one reads it multiplied by its scale.
    """
    config, expectation, whole = case.config, Expectation(case, declared), results[-1]
    assert whole is not None
    below, found = expectation.x, []
    for k, result in enumerate(results):
        trusted = result is not None and (
            result is whole or same_lower_states(result, whole, (k + 1) * config.num_directions)
        )
        seen = result.output if result is not None and trusted else None
        output = None if seen is None else np.asarray(seen, np.float64)
        found.append(expectation.layer(k, below, output))
        below = (
            concatenate([half.output for half in found[k]], 2) if output is None else Approx(output, EXACT, declared)
        )
        below = scaled(below, scales[k]) if k < len(scales) else below
    return found


def judge(
    case: Case,
    cotangents: Cotangents,
    results: Sequence[Result | None],
    grads: Gradients,
    declared: Arithmetic,
    observed: Adjoints | None = None,
    scales: Sequence[Array] = (),
) -> Iterator[Finding]:
    """Compare a vjp's results and gradients, all canonical, with what they must be.

    ``scales`` (L, N, D·P) are what dropout multiplied the layers' outputs by below the next one, 0 or powers of two.
    ``results`` are those of the first 1 … k layers as far as they were seen, the last being the vjp's own. Tensors are
    named "output", "h_n" and "c_n", "grad preactivations_l0" where they are observed, "grad x", "grad weight_ih_l0" …
    """
    config, lengths = case.config, case.row_lengths()
    layers, D, P = config.num_layers, config.num_directions, config.output_size
    valid = (np.arange(case.steps)[:, None] < lengths)[..., None]
    whole = results[-1]
    assert whole is not None
    output, h_n, c_n = (None if part is None else np.asarray(part, np.float64) for part in whole)
    grad_output, grad_h_n, grad_c_n = (np.asarray(part, np.float64) for part in cotangents)
    passes = forward(case, results, declared, scales)
    terms: list[tuple[Approx, Array]] = []
    unforced: list[tuple[Approx, Array]] = []
    for k in reversed(range(layers)):
        above, terms, unforced = terms, [], []
        if k < layers - 1:
            grad_output = np.zeros((case.steps, case.batch, D * P))
        for d, half in enumerate(passes[k]):
            slot, name, reverse = k * D + d, suffix(k, d), bool(d)
            own = slice(d * P, (d + 1) * P)
            actual = None if output is None or k < layers - 1 else output[..., own]
            yield from compare(layers, k, d, slot, half, actual, h_n, c_n)

            p, steps = weights(case.params, k, d), _joined(half.spans)
            seen = None if observed is None else observed[k][d].time_order(lengths, reverse)
            from_loss = time_order(grad_output[..., own], lengths, reverse)
            from_above = [(adjoint.time_order(lengths, reverse), weight[own]) for adjoint, weight in above]
            if above and scales:
                kept = scaled(dot(from_above, [], "any"), time_order(scales[k][..., own], lengths, reverse))
                from_above = [(kept, np.eye(P))]
            loss = Cotangents(from_loss, grad_h_n[slot], grad_c_n[slot])
            want = layer(p, steps, valid, from_above, loss, seen)
            if seen is not None:
                bound = want.a.error + seen.error
                yield Finding("grad preactivations" + name, layers, k, d, seen.value, want.a.value, bound)
            a = want.a if seen is None else masked(seen, valid)
            found = {"h_0": dot([(a[0], p["weight_hh"].T)], [], "any"), "c_0": want.c_0}
            found |= _of_params(p, name, a, want.h, steps, valid)
            for tensor, expected in found.items():
                if tensor in grads:
                    given = grads[tensor][slot] if tensor in ("h_0", "c_0") else grads[tensor]
                    yield _finding("grad " + tensor, layers, k, d, given, expected)
            terms.append((a.time_order(lengths, reverse), p["weight_ih"].T))
            unforced.append((want.a.time_order(lengths, reverse), p["weight_ih"].T))
    # A direction whose part is not added does not show in its taps either, so that what it should be counts as well.
    for adjoints in (terms,) if observed is None else (terms, unforced):
        yield _finding("grad x", layers, 0, 0, grads["x"], masked(dot(adjoints, [], "any"), valid))


def _of_params(p: dict[str, Array], name: str, a: Approx, h: Approx, steps: Steps, valid: Array) -> dict[str, Approx]:
    """The gradients of one layer and direction's parameters, by their full names."""
    found = {"weight_ih": outer(a, steps.x, valid), "weight_hh": outer(a, steps.h_before, valid)}
    if "bias_ih" in p:
        ones = Approx(np.ones((*valid.shape[:2], 1)), EXACT, a.arithmetic)
        found["bias_ih"] = found["bias_hh"] = outer(a, ones, valid)[:, 0]
    if "weight_hr" in p:
        found["weight_hr"] = outer(h, steps.m, valid)
    return {tensor + name: value for tensor, value in found.items()}


def _joined(spans: list[Steps]) -> Steps:
    """All steps together."""
    return spans[0] if len(spans) == 1 else Steps(*(concatenate(list(parts), 0) for parts in zip(*spans, strict=True)))


def _finding(tensor: str, layers: int, k: int, d: int, actual: Array, want: Approx) -> Finding:
    bound = np.broadcast_to(want.error, want.value.shape)
    return Finding(tensor, layers, k, d, np.asarray(actual, np.float64), want.value, bound)
