"""Faults of the gradient in a step and in the weights' sums; the forward pass is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from conformance.backend import Capabilities, reorder
from conformance.faults import backward as correct
from conformance.faults.alter import Axis, at_index, beyond, given, half, made, past, single, zeros
from conformance.faults.backward import Differentiable, Gradients, Step
from conformance.faults.fault import FULL, GRADIENTS, Fault
from conformance.faults.twin import Gates, Place, Twin, Weights, by_gate
from conformance.spec import Array

#: What a step gives back to the one before it, step by step: d_h_{t−1}.
H_BACK = Axis("d_step", ("h",), None)


DIFFERENTIABLE = replace(FULL, gradients=True)


def fault(
    id: str,
    description: str,
    stands_for: str,
    shows_when: str,
    twin: Twin,
    capabilities: Capabilities = DIFFERENTIABLE,
) -> Fault:
    """A fault of the backward pass."""
    return Fault(id, description, stands_for, shows_when, GRADIENTS, twin, capabilities)


def slope(index: int, derivative: Callable[[Array, Array], Array]) -> Differentiable:
    """The derivative of one of i, f, g, o, from its preactivation and its value, is another."""

    def d_gates(twin: Differentiable, at: Place, s: Step, d_values: Gates) -> Array:
        parts = np.split(correct.d_gates(twin, at, s, d_values), 4, axis=1)
        parts[index] = d_values[index] * derivative(by_gate(s.a)[index], (s.i, s.f, s.g, s.o)[index])
        return np.concatenate(parts, axis=1)

    return Differentiable(d_gates=d_gates)


def summed(change: Callable[[Place, str, Array], Array], names: str = "") -> Twin:
    """The gradients of a layer and direction's weights whose names begin with ``names``, changed."""

    def changed(at: Place, sums: Gradients) -> Gradients:
        return {name: change(at, name, v) if name.startswith(names) else v for name, v in sums.items()}

    return made("d_sum", changed)


def _no_tanh(twin: Differentiable, at: Place, s: Step, d_m: Array) -> tuple[Array, Array]:
    return d_m * twin.tanh(s.c_t), d_m * s.o


def _cell_for_its_tanh(twin: Differentiable, at: Place, s: Step, d_m: Array) -> tuple[Array, Array]:
    return d_m * s.c_t, correct.d_hidden(twin, at, s, d_m)[1]


def _first_units(twin: Differentiable, at: Place, w: Weights, d_h: Array) -> Array:
    """d_h for the first P of H units, as if the projection were the identity."""
    if "weight_hr" not in w:
        return d_h
    return np.pad(d_h, ((0, 0), (0, w["weight_hr"].shape[1] - d_h.shape[1])))


def _unprojected_weights(twin: Differentiable, at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Gradients:
    """W_hr's gradient from tanh(c_t) instead of o ⊙ tanh(c_t)."""
    return correct.d_weights(twin, at, w, s._replace(m=twin.tanh(s.c_t)), d_a, d_h)


def _averaged(twin: Differentiable, at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Gradients:
    shares = correct.d_weights(twin, at, w, s, d_a, d_h)
    return {name: share / np.float32(len(d_a)) for name, share in shares.items()}


def _by_half_weights(twin: Differentiable, at: Place, w: Weights, d_a: Array) -> tuple[Array, Array]:
    """d_x_t with W_ih rounded to half."""
    return twin.dot(d_a, half(w["weight_ih"]).T), twin.dot(d_a, w["weight_hh"].T)


FAULTS = (
    fault("gradient-sigmoid-at-preactivation", "σ′ is a(1 − a) of the preactivation a.", "hand-written cells", "always",
        Differentiable(d_sigmoid=lambda a, s: a * (1 - a))),
    fault("gradient-candidate-by-sigmoid", "The derivative of g is g(1 − g).", "hand-written cells", "always",
        slope(2, lambda a, g: g * (1 - g))),
    fault("gradient-forget-slope-missing", "σ′ is missing from the forget gate's gradient.", "hand-written cells",
        "a cell before the step", slope(1, lambda a, f: np.ones_like(f))),
    fault("gradient-hard-sigmoid", "The derivative of o is that of a hard sigmoid, 0.2 within ±2.5.",
        "Keras hard_sigmoid", "always", slope(3, lambda a, o: np.where(np.abs(a) < 2.5, 0.2, 0).astype(a.dtype))),
    fault("gradient-tanh-of-cell-missing", "d_c lacks tanh′(c).", "hand-written cells", "always",
        Differentiable(d_hidden=_no_tanh)),
    fault("gradient-output-gate-from-cell", "The output gate's gradient has c for tanh(c).", "hand-written cells",
        "always", Differentiable(d_hidden=_cell_for_its_tanh)),
    fault("gradient-forget-gate-from-new-cell", "The forget gate's gradient has c_t for c_{t−1}.", "hand-written cells",
        "always", given("d_cell", lambda at, s, d_c: (s._replace(c=s.c_t), d_c))),
    fault("gradient-cell-detached", "No gradient passes through c from step to step.", "detached state", "L > 1 or c_0",
        made("d_cell", lambda at, d: (*d[:3], 0 * d[3]))),
    fault("gradient-cell-not-forgotten", "d_c passes from step to step without f.", "hand-written cells",
        "L > 1 or c_0", Differentiable(d_cell=lambda twin, at, s, d_c: (*correct.d_cell(twin, at, s, d_c)[:3], d_c))),
    fault("gradient-gates-swapped", "The gradients of i and g change places.", "hand-written cells", "always",
        made("d_cell", lambda at, d: (d[2], d[1], d[0], d[3]))),
    fault("gradient-output-gate-a-little", "The output gate's gradient is 1e-5 too large.", "numeric guards", "always",
        slope(3, lambda a, o: o * (1 - o) * (1 + 1e-5))),
    fault("gradient-recurrent-a-little", "The gradient that passes through W_hh is 1e-5 too small.", "numeric guards",
        "L > 1 or h_0", made("d_step", lambda at, before: before._replace(h=before.h * (1 - 1e-5)))),
    fault("gradient-hidden-detached", "No gradient passes through h from step to step.", "detached state", "L > 1",
        beyond(H_BACK, past(1), zeros)),
    fault("gradient-recurrent-weights-from-new-h", "W_hh's gradient has h_t for h_{t−1}.", "hand-written cells",
        "always", given("d_weights", lambda at, w, s, *d: (w, s._replace(h=s.h_t), *d))),
    fault("gradient-recurrent-weights-without-h-0", "W_hh's gradient lacks the first step.", "off-by-one loops", "h_0",
        beyond(Axis("d_weights", ("weight_hh",), None), at_index(0), zeros)),
    fault("gradient-input-weights-without-last-step", "W_ih's gradient lacks the last step.", "off-by-one loops",
        "always", beyond(Axis("d_weights", ("weight_ih",), None), at_index(-1), zeros)),
    fault("gradient-averaged-over-rows", "The weights' gradients are divided by N.", "loss averaged twice", "N > 1",
        Differentiable(d_weights=_averaged)),
    fault("gradient-averaged-over-steps", "The weights' gradients are divided by L.", "loss averaged twice", "L > 1",
        summed(lambda at, name, v: v / np.float32(at.steps))),
    fault("gradient-gate-order-iofg", "The weights' gradients are packed i, o, f, g.", "ONNX", "always",
        summed(lambda at, name, v: v if name == "weight_hr" else reorder(v, "iofg"))),
    fault("gradient-recurrent-bias-none", "b_hh gets no gradient.", "flax: one bias", "with bias",
        summed(lambda at, name, v: 0 * v, "bias_hh")),
    fault("gradient-biases-halved", "b_ih and b_hh get half of their gradient each.", "fused biases", "with bias",
        summed(lambda at, name, v: v / 2, "bias")),
    fault("gradient-upper-biases-none", "Biases above the first layer get no gradient.", "mxnet PR17872",
        "layers > 1, with bias", summed(lambda at, name, v: 0 * v if at.layer else v, "bias")),
    fault("gradient-projection-skipped", "The gradient of h passes to the first P units past the projection.",
        "pytorch#74953", "projection", Differentiable(d_project=_first_units)),
    fault("gradient-projection-weights-from-tanh", "W_hr's gradient is made from tanh(c) without o.", "pytorch#74953",
        "projection", Differentiable(d_weights=_unprojected_weights)),
    fault("gradient-clipped-at-65504", "The gradient of the preactivations stays in float16's range.", "loss scaling",
        "a loss that is scaled", made("d_gates", lambda at, d: np.clip(d, -65504, 65504))),
    fault("gradient-flushed", "Gradients below 1e-6 are flushed to zero.", "numeric guards", "small gradients",
        made("d_gates", lambda at, d: np.where(np.abs(d) < 1e-6, 0 * d, d))),
    fault("gradient-in-half", "The gradient of the preactivations is rounded to half.", "mixed precision", "always",
        made("d_gates", lambda at, d: half(d))),
    fault("gradient-x-by-half-weights", "The gradient of x is made with W_ih rounded to half.", "mixed precision",
        "always", Differentiable(d_preactivations=_by_half_weights)),
    fault("gradient-in-float32", "The gradient of the preactivations is rounded to float32.",
        "ports with float buffers", "float64", made("d_gates", lambda at, d: single(d))),
)  # fmt: skip
