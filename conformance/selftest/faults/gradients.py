"""Faults of the gradient in a step and in the weights' sums; the forward pass is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.backend import reorder
from conformance.selftest.faults import backward as correct
from conformance.selftest.faults.backward import Adjoint, Differentiable, Gradients, Step
from conformance.selftest.faults.fault import FULL, GRADIENTS, Fault
from conformance.selftest.faults.structure import tail
from conformance.selftest.faults.twin import Gates, Place, Weights, by_gate
from conformance.spec import Array

CAPABILITIES = replace(FULL, gradients=True)
_WITH_DROPOUT = replace(CAPABILITIES, dropout=True)

Map = Callable[[Array], Array]


def fault(id: str, description: str, stands_for: str, shows_when: str, **pieces: Any) -> Fault:
    """A fault in some pieces of the backward pass."""
    return Fault(id, description, stands_for, shows_when, GRADIENTS, Differentiable(**pieces), CAPABILITIES)


# Alterations of one piece


def slopes(index: int, slope: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """The derivative of one of i, f, g, o, from its preactivation and its value, changed."""

    def d_gates(twin: Differentiable, at: Place, s: Step, d_values: Gates) -> Array:
        parts = np.split(correct.d_gates(twin, at, s, d_values), 4, axis=1)
        parts[index] = d_values[index] * slope(by_gate(s.a)[index], (s.i, s.f, s.g, s.o)[index])
        return np.concatenate(parts, axis=1)

    return d_gates


def preactivation(change: Callable[[Place, Array], Array]) -> Callable[..., Array]:
    """The gradient of the preactivations (N, 4H), which all others are made from, changed."""
    return lambda twin, at, s, d_values: change(at, correct.d_gates(twin, at, s, d_values))


def celled(change: Callable[[Step, Array, Gates], Gates]) -> Callable[..., Gates]:
    """d_i, d_f, d_g, d_c_{t−1} changed, from the step and d_c_t."""
    return lambda at, s, d_c: change(s, d_c, correct.d_cell(at, s, d_c))


def recurrent(change: Callable[[Place, Adjoint], Adjoint]) -> Callable[..., Adjoint]:
    """What a step gives to the one before it, changed."""
    return lambda twin, at, w, s, d_h, d_c: change(at, correct.d_step(twin, at, w, s, d_h, d_c))


def shared(change: Callable[[Place, Step, Array, Gradients], Gradients]) -> Callable[..., Gradients]:
    """A step's share in the gradients of the weights, changed, from the step and d_a."""
    return lambda twin, at, w, s, d_a, d_h: change(at, s, d_a, correct.d_weights(twin, at, w, s, d_a, d_h))


def summed(change: Callable[[Place, str, Array], Array]) -> Callable[..., Gradients]:
    """The gradient of each of a layer and direction's weights, by its name without the suffix, changed."""

    def d_sum(twin: Differentiable, at: Place, *more: Any) -> Gradients:
        return {name: change(at, name, value) for name, value in correct.d_sum(twin, at, *more).items()}

    return d_sum


def half(v: Array) -> Array:
    """Rounded to float16."""
    return v.astype("float16").astype(v.dtype)


def single(v: Array) -> Array:
    """Rounded to float32."""
    return v.astype("float32").astype(v.dtype)


# The pieces that are no such alteration


def _tanh_outside(twin: Differentiable, at: Place, s: Step, d_m: Array) -> tuple[Array, Array]:
    y = twin.tanh(s.c_t)
    return d_m * y, d_m * s.o * (1 - s.c_t * s.c_t)


def _no_tanh(twin: Differentiable, at: Place, s: Step, d_m: Array) -> tuple[Array, Array]:
    return d_m * twin.tanh(s.c_t), d_m * s.o


def _cell_for_its_tanh(twin: Differentiable, at: Place, s: Step, d_m: Array) -> tuple[Array, Array]:
    return d_m * s.c_t, correct.d_hidden(twin, at, s, d_m)[1]


def _truncated(at: Place, before: Adjoint) -> Adjoint:
    """Nothing passes from step 8 to 7, from 16 to 15 …"""
    return before if at.t % 8 else before._replace(h=0 * before.h, c=0 * before.c)


def _truncated_hidden(at: Place, before: Adjoint) -> Adjoint:
    return before if at.t % 8 or not at.t else before._replace(h=0 * before.h)


def _first_units(twin: Differentiable, at: Place, w: Weights, d_h: Array) -> Array:
    """d_h for the first P of H units, as if the projection were the identity."""
    if "weight_hr" not in w:
        return d_h
    return np.pad(d_h, ((0, 0), (0, w["weight_hr"].shape[1] - d_h.shape[1])))


def _unprojected_weights(twin: Differentiable, at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Gradients:
    """W_hr's gradient from tanh(c_t) instead of o ⊙ tanh(c_t)."""
    return correct.d_weights(twin, at, w, s._replace(m=twin.tanh(s.c_t)), d_a, d_h)


def _biases(change: Map, names: str = "bias") -> Callable[..., Gradients]:
    return summed(lambda at, name, value: change(value) if name.startswith(names) else value)


FAULTS = (
    fault("gradient-sigmoid-at-preactivation", "σ′ is a(1 − a) of the preactivation a.", "hand-written cells", "always",
          d_sigmoid=lambda a, s: a * (1 - a)),
    fault("gradient-candidate-by-sigmoid", "The derivative of g is g(1 − g).", "hand-written cells", "always",
          d_gates=slopes(2, lambda a, g: g * (1 - g))),
    fault("gradient-forget-slope-missing", "σ′ is missing from the forget gate's gradient.", "hand-written cells",
          "a cell before the step", d_gates=slopes(1, lambda a, f: np.ones_like(f))),
    fault("gradient-hard-sigmoid", "The derivative of o is that of a hard sigmoid, 0.2 within ±2.5.",
          "Keras hard_sigmoid", "always",
          d_gates=slopes(3, lambda a, o: np.where(np.abs(a) < 2.5, 0.2, 0).astype(a.dtype))),
    fault("gradient-tanh-of-cell-at-tanh", "tanh′(c) is 1 − c² instead of 1 − tanh²(c).", "hand-written cells",
          "always", d_hidden=_tanh_outside),
    fault("gradient-tanh-of-cell-missing", "d_c lacks tanh′(c).", "hand-written cells", "always", d_hidden=_no_tanh),
    fault("gradient-output-gate-from-cell", "The output gate's gradient has c for tanh(c).", "hand-written cells",
          "always", d_hidden=_cell_for_its_tanh),
    fault("gradient-forget-gate-from-new-cell", "The forget gate's gradient has c_t for c_{t−1}.", "hand-written cells",
          "always", d_cell=celled(lambda s, d_c, d: (d[0], d_c * s.c_t, *d[2:]))),
    fault("gradient-cell-detached", "No gradient passes through c from step to step.", "detached state", "L > 1 or c_0",
          d_cell=celled(lambda s, d_c, d: (*d[:3], 0 * d_c))),
    fault("gradient-cell-not-forgotten", "d_c passes from step to step without f.", "hand-written cells",
          "L > 1 or c_0", d_cell=celled(lambda s, d_c, d: (*d[:3], d_c))),
    fault("gradient-gates-swapped", "The gradients of i and g change places.", "hand-written cells", "always",
          d_cell=celled(lambda s, d_c, d: (d[2], d[1], d[0], d[3]))),
    fault("gradient-output-gate-a-little", "The output gate's gradient is 1e-5 too large.", "numeric guards", "always",
          d_gates=slopes(3, lambda a, o: o * (1 - o) * (1 + 1e-5))),
    fault("gradient-recurrent-a-little", "The gradient that passes through W_hh is 1e-5 too small.", "numeric guards",
          "L > 1 or h_0", d_step=recurrent(lambda at, before: before._replace(h=before.h * (1 - 1e-5)))),
    fault("gradient-hidden-detached", "No gradient passes through h from step to step.", "detached state", "L > 1",
          d_step=recurrent(lambda at, before: before._replace(h=0 * before.h) if at.t else before)),
    fault("gradient-truncated", "No gradient passes back over every eighth step.", "truncated back-propagation",
          "L > 8 or an initial state", d_step=recurrent(_truncated)),
    fault("gradient-hidden-truncated", "No gradient of h passes back over every eighth step.", "chunked kernels",
          "L > 8", d_step=recurrent(_truncated_hidden)),
    fault("gradient-steps-past-16", "No gradient passes back from the 17th step and later ones.",
          "truncated back-propagation", "L > 16",
          d_step=recurrent(lambda at, before: before._replace(h=0 * before.h) if at.t == 16 else before)),

    fault("gradient-recurrent-weights-from-new-h", "W_hh's gradient has h_t for h_{t−1}.", "hand-written cells",
          "always", d_weights=lambda t, at, w, s, d_a, d_h: correct.d_weights(t, at, w, s._replace(h=s.h_t), d_a, d_h)),
    fault("gradient-recurrent-weights-without-h-0", "W_hh's gradient lacks the first step.", "off-by-one loops", "h_0",
          d_weights=shared(lambda at, s, d_a, d: d if at.t else d | {"weight_hh": 0 * d["weight_hh"]})),
    fault("gradient-input-weights-without-last-step", "W_ih's gradient lacks the last step.", "off-by-one loops",
          "always", d_weights=shared(
              lambda at, s, d_a, d: d | {"weight_ih": 0 * d["weight_ih"]} if at.t == at.steps - 1 else d)),
    fault("gradient-weights-past-16-steps", "The weights' gradients lack the 17th step and later ones.",
          "tiled products", "L > 16",
          d_weights=shared(lambda at, s, d_a, d: d if at.t < 16 else {name: 0 * v for name, v in d.items()})),
    fault("gradient-weights-past-2-rows", "The weights' gradients lack the third row and later ones.", "tiled products",
          "N > 2", d_weights=lambda t, at, w, s, d_a, d_h: correct.d_weights(
              t, at, w, s, np.where(np.arange(len(d_a))[:, None] < 2, d_a, 0 * d_a), d_h)),
    fault("gradient-past-32-units", "The units past the 32nd get no gradient.", "neural-amp-modeler#450", "H > 32",
          d_cell=lambda at, s, d_c: correct.d_cell(at, s, np.where(np.arange(d_c.shape[1]) < 32, d_c, 0 * d_c))),
    fault("gradient-past-256-units", "The units past the 256th get no gradient.", "neural-amp-modeler#450", "H > 256",
          d_cell=lambda at, s, d_c: correct.d_cell(at, s, np.where(np.arange(d_c.shape[1]) < 256, d_c, 0 * d_c))),
    fault("gradient-weights-past-128-steps", "The weights' gradients lack the 129th step and later ones.",
          "truncated back-propagation", "L > 128",
          d_weights=shared(lambda at, s, d_a, d: d if at.t < 128 else {name: 0 * v for name, v in d.items()})),
    fault("gradient-weights-step-twice", "The weights' gradients have every 32nd step twice.", "chunked kernels",
          "L > 32", d_weights=shared(
              lambda at, s, d_a, d: {name: 2 * v for name, v in d.items()} if at.t % 32 == 31 else d)),
    fault("gradient-weights-past-4096-rows", "The gradient of W_ih lacks the rows of the whole sequence past 4,096.",
          "hoisted products", "L·N > 4,096", d_weights=lambda t, at, w, s, d_a, d_h: {
              **correct.d_weights(t, at, w, s, d_a, d_h), "weight_ih": correct.d_weights(t, at, w, s, np.where(
                  (at.t * len(d_a) + np.arange(len(d_a)) < 4096)[:, None], d_a, 0 * d_a), d_h)["weight_ih"]}),
    fault("gradient-upper-features-past-256", "Upper layers pass no gradient to the features from the 257th on.",
          "tiled products", "layers > 1, D·P > 256", d_preactivations=lambda t, at, w, d_a: (
              np.where(np.arange(w["weight_ih"].shape[1]) < (256 if at.layer else 1 << 30),
                       correct.d_preactivations(t, at, w, d_a)[0], 0), correct.d_preactivations(t, at, w, d_a)[1])),
    fault("gradient-weights-rows-left-over", "The weights' gradients lack the rows left over by blocks of 64.",
          "tiled products", "N > 64, N % 64 ≠ 0", d_weights=lambda t, at, w, s, d_a, d_h: correct.d_weights(
              t, at, w, s, np.where(np.arange(len(d_a))[:, None] < tail(64, 64)(len(d_a)), d_a, 0 * d_a), d_h)),
    fault("gradient-rows-past-8", "Rows past the eighth pass no gradient of h on.", "tiled products", "N > 8, L > 1",
          d_step=recurrent(lambda at, before: before._replace(
              h=np.where(np.arange(len(before.h))[:, None] < 8, before.h, 0 * before.h) if at.t else before.h))),
    fault("gradient-steps-past-100", "No gradient passes back from the 101st step and later ones.",
          "truncated back-propagation", "L > 100",
          d_step=recurrent(lambda at, before: before._replace(h=0 * before.h) if at.t == 100 else before)),
    replace(
        fault("gradient-dropout-forgotten", "What was dropped gets the gradient of what was kept.", "fused kernels",
              "training, layers > 1", d_drop=lambda at, mask, d: d), capabilities=_WITH_DROPOUT),
    replace(
        fault("gradient-dropout-unscaled", "The gradient of what was kept is not scaled by 1/(1 − p).", "fused kernels",
              "training, layers > 1", d_drop=lambda at, mask, d: np.where(mask == 0, 0 * d, d)),
        capabilities=_WITH_DROPOUT),
    replace(
        fault("gradient-dropout-turned", "The mask is applied to the steps from the last to the first.",
              "a backward loop that counts up", "training, layers > 1, L > 1",
              d_drop=lambda at, mask, d: d * mask[::-1]), capabilities=_WITH_DROPOUT),
    replace(
        fault("gradient-dropout-masks-reversed", "The masks are taken in the order in which they were drawn.",
              "a queue for a stack", "training, layers > 2",
              d_stack=lambda twin, config, params, tapes, masks, *more: correct.d_stack(
                  twin, config, params, tapes, masks[::-1], *more)),
        capabilities=_WITH_DROPOUT),
    fault("gradient-averaged-over-rows", "The weights' gradients are divided by N.", "loss averaged twice", "N > 1",
          d_weights=shared(lambda at, s, d_a, d: {name: v / np.float32(len(d_a)) for name, v in d.items()})),
    fault("gradient-averaged-over-steps", "The weights' gradients are divided by L.", "loss averaged twice", "L > 1",
          d_sum=summed(lambda at, name, v: v / np.float32(at.steps))),

    fault("gradient-gate-order-iofg", "The weights' gradients are packed i, o, f, g.", "ONNX", "always",
          d_sum=summed(lambda at, name, v: v if name == "weight_hr" else reorder(v, "iofg"))),
    fault("gradient-recurrent-bias-none", "b_hh gets no gradient.", "flax: one bias", "with bias",
          d_sum=_biases(lambda v: 0 * v, "bias_hh")),
    fault("gradient-biases-halved", "b_ih and b_hh get half of their gradient each.", "fused biases", "with bias",
          d_sum=_biases(lambda v: v / 2)),
    fault("gradient-biases-doubled", "b_ih and b_hh get the sum of both gradients.", "fused biases", "with bias",
          d_sum=_biases(lambda v: 2 * v)),
    fault("gradient-upper-biases-none", "Biases above the first layer get no gradient.", "mxnet PR17872",
          "layers > 1, with bias",
          d_sum=summed(lambda at, name, v: 0 * v if at.layer and name.startswith("bias") else v)),

    fault("gradient-projection-skipped", "The gradient of h passes to the first P units past the projection.",
          "pytorch#74953", "projection", d_project=_first_units),
    fault("gradient-projection-weights-from-tanh", "W_hr's gradient is made from tanh(c) without o.", "pytorch#74953",
          "projection", d_weights=_unprojected_weights),

    fault("gradient-clipped-at-1", "The gradient of the preactivations is clipped to ±1.", "lasagne grad_clipping",
          "large gradients", d_gates=preactivation(lambda at, d: np.clip(d, -1, 1))),
    fault("gradient-clipped-at-10", "The gradient of the preactivations is clipped to ±10.", "lasagne grad_clipping",
          "large gradients", d_gates=preactivation(lambda at, d: np.clip(d, -10, 10))),
    fault("gradient-flushed", "Gradients below 1e-6 are flushed to zero.", "numeric guards", "small gradients",
          d_gates=preactivation(lambda at, d: np.where(np.abs(d) < 1e-6, 0 * d, d))),
    fault("gradient-in-half", "The gradient of the preactivations is rounded to half.", "mixed precision", "always",
          d_gates=preactivation(lambda at, d: half(d))),
    fault("gradient-x-by-half-weights", "The gradient of x is made with W_ih rounded to half.", "mixed precision",
          "always", d_preactivations=lambda t, at, w, d_a: (
              t.dot(d_a, half(w["weight_ih"]).T), t.dot(d_a, w["weight_hh"].T))),
    fault("gradient-in-float32", "The gradient of the preactivations is rounded to float32.",
          "ports with float buffers", "float64", d_gates=preactivation(lambda at, d: single(d))),
)  # fmt: skip
