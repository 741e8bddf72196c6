"""Correct but different: the same LSTM with other legitimate arithmetic, which no property may accuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from conformance.backend import Backend
from conformance.conventions import Whole
from conformance.faults import backward
from conformance.faults import twin as correct
from conformance.faults.backward import Adjoint, Differentiable, Gradients, Step
from conformance.faults.fault import EVERYTHING
from conformance.faults.inexact import (
    always,
    in_turn,
    off,
    sigmoid_by_tanh,
    stable_sigmoid,
    tanh_by_exponential,
    tanh_by_sigmoid,
    tanh_by_sigmoid_off,
    ulps,
)
from conformance.faults.living import Living
from conformance.faults.twin import Gates, Place, Twin, Weights, by_gate, summed_wide
from conformance.spec import Array, LSTMConfig, Params, State, finfo


@dataclass(frozen=True)
class Different:
    """A correct LSTM that rounds otherwise than the twin."""

    id: str
    #: One sentence.
    description: str
    twin: Twin

    @property
    def backend(self) -> Backend:
        """It as a backend, with the gradient of its own pieces."""
        pieces = {field.name: getattr(self.twin, field.name) for field in fields(self.twin)}
        return Backend(self.id, EVERYTHING, Living(**pieces).build)


# Orders of summation


def blocked(size: int) -> Twin:
    """Dot products summed block by block."""

    @summed_wide
    def dot(x: Array, W: Array) -> Array:
        total = np.zeros((len(x), len(W)), x.dtype)
        for k in range(0, x.shape[1], size):
            total = total + x[:, k : k + size] @ W[:, k : k + size].T
        return total

    return Twin(dot=dot)


@summed_wide
def reversed_dot(x: Array, W: Array) -> Array:
    """Summed from the last term to the first."""
    return correct.dot(np.ascontiguousarray(x[:, ::-1]), np.ascontiguousarray(W[:, ::-1]))


@summed_wide
def pairwise_dot(x: Array, W: Array) -> Array:
    """Halves summed apart, and their halves, down to eight terms."""
    n = x.shape[1]
    if n <= 8:
        return correct.dot(x, W)
    return pairwise_dot(x[:, : n // 2], W[:, : n // 2]) + pairwise_dot(x[:, n // 2 :], W[:, n // 2 :])


@summed_wide
def laned_dot(x: Array, W: Array) -> Array:
    """Eight sums side by side, added up at the end."""
    lanes = [correct.dot(x[:, k::8], W[:, k::8]) for k in range(min(8, x.shape[1]))]
    return sum(lanes[1:], lanes[0])


def bias_last(twin: Twin, at: Place, w: Weights, x: Array, h: Array) -> Array:
    """The recurrent product first, the biases last and one by one."""
    a = twin.dot(h, w["weight_hh"]) + twin.dot(x, w["weight_ih"])
    return (a + w["bias_hh"]) + w["bias_ih"] if "bias_ih" in w else a


def joined(twin: Twin, at: Place, w: Weights, x: Array, h: Array) -> Array:
    """One product of [x, h] with both weights side by side, the biases as one more column."""
    columns, rows = [w["weight_ih"], w["weight_hh"]], [x, h]
    if "bias_ih" in w:
        columns.append((w["bias_ih"] + w["bias_hh"])[:, None])
        rows.append(np.ones_like(x[:, :1]))
    return twin.dot(np.concatenate(rows, axis=1), np.concatenate(columns, axis=1))


def fused_biases(twin: Twin, config: LSTMConfig, params: Params) -> Params:
    """b_ih + b_hh summed once for all."""
    fused = dict(params)
    for name in params:
        if name.startswith("bias_ih"):
            other = name.replace("bias_ih", "bias_hh")
            fused[name], fused[other] = params[name] + params[other], 0 * params[other]
    return fused


def hoisted(
    twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array]:
    """The input projection of all steps in one product before the loop."""
    steps, rows, features = x.shape
    a = twin.dot(x.reshape(-1, features), w["weight_ih"])
    if "bias_ih" in w:
        a = a + (w["bias_ih"] + w["bias_hh"])
    loop = replace(twin, preactivations=lambda twin, at, w, a_t, h: a_t + twin.dot(h, w["weight_hh"]))
    return correct.layer(loop, at, w, a.reshape(steps, rows, -1), h, c, lengths)


def rows_that_go_on(
    twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array]:
    """Each step is run for the rows that have not ended, and for no others."""
    h, c, outputs = h.copy(), c.copy(), np.zeros((*x.shape[:2], h.shape[1]), h.dtype)
    for t, x_t in enumerate(correct.flip(twin, at, x, lengths)):
        on = np.flatnonzero(t < lengths)
        h[on], c[on] = twin.step(twin, at._replace(t=t), w, x_t[on], h[on], c[on])
        outputs[t, on] = h[on]
    return correct.flip(twin, at, outputs, lengths), h, c


def longest_first(twin: Twin, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array) -> Whole:
    """Rows are sorted inside by their length, and put back."""
    order = np.argsort(-lengths, kind="stable")
    back = np.argsort(order)
    start = state[0][:, order], state[1][:, order]
    return Whole(*(part[:, back] for part in correct.stack(twin, config, params, x[:, order], start, lengths[order])))


def output_first(twin: Twin, at: Place, w: Weights, a: Array) -> Gates:
    """Each gate by itself, the output gate first."""
    a_i, a_f, a_g, a_o = (part.copy() for part in correct.by_gate(a))
    o = twin.sigmoid(a_o)
    g = twin.tanh(a_g)
    f = twin.sigmoid(a_f)
    return twin.sigmoid(a_i), f, g, o


# Cells and storage


def fused_cell(twin: Twin, at: Place, i: Array, f: Array, g: Array, c: Array) -> Array:
    """f·c + i·g with one rounding."""
    i, f, g, wide = (part.astype(np.longdouble) for part in (i, f, g, c))
    return (f * wide + i * g).astype(c.dtype)


def flushed(v: Array) -> Array:
    """Subnormal numbers flushed to zero."""
    return np.where(np.abs(v) < finfo(v.dtype.name).smallest_normal, 0, v).astype(v.dtype)


def flushed_step(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    """A step on a processor that flushes subnormal numbers to zero."""
    h, c = correct.step(twin, at, w, flushed(x), flushed(h), flushed(c))
    return flushed(h), flushed(c)


# Gradients


def sigmoid_slope(a: Array, s: Array) -> Array:
    """σ′(a) = e^−|a| / (1 + e^−|a|)²."""
    e = np.exp(-np.abs(a))
    return e / (1 + e) ** 2


def tanh_slope(a: Array, y: Array) -> Array:
    """tanh′(a) = 1 / cosh²(a)."""
    return 1 / np.cosh(a) ** 2


def sum_at_once(
    twin: Differentiable, at: Place, w: Weights, steps: Sequence[Step], d_a: Sequence[Array], d_h: Sequence[Array]
) -> Gradients:
    """The weights' gradients as one product each, over all steps and rows."""
    whole = Step(*(np.concatenate(parts) for parts in zip(*steps, strict=True)))
    return twin.d_weights(twin, at, w, whole, np.concatenate(d_a), np.concatenate(d_h))


def sum_forward(
    twin: Differentiable, at: Place, w: Weights, steps: Sequence[Step], d_a: Sequence[Array], d_h: Sequence[Array]
) -> Gradients:
    """The weights' gradients summed from the first step to the last."""
    return backward.d_sum(twin, at, w, steps[::-1], d_a[::-1], d_h[::-1])


def gate_by_gate(twin: Differentiable, at: Place, w: Weights, d_a: Array) -> tuple[Array, Array]:
    """The gradients of x_t and h_{t−1}, one product for each gate."""
    parts = np.split(d_a, 4, axis=1)
    d_x, d_h = (
        sum(twin.dot(part, W.T) for part, W in zip(parts, np.split(w[name], 4), strict=True))
        for name in ("weight_ih", "weight_hh")
    )
    return np.asarray(d_x), np.asarray(d_h)


def without_a_cell(twin: Twin, at: Place, i: Array, f: Array, g: Array, c: Array) -> Array:
    """c_t: where there is no c_{t−1}, it is i ⊙ g, whatever f is."""
    return (
        np.where(c == 0, i * g, correct.cell(twin, at, i, f, g, c)) if at.t == 0 else correct.cell(twin, at, i, f, g, c)
    )


def first_step_apart(twin: Differentiable, at: Place, s: Step, d_values: Gates) -> Array:
    """The gradient of the preactivations: where c_{t−1} is 0, c_t = i ⊙ g has none of f."""
    i, f, g, o = by_gate(backward.d_gates(twin, at, s, d_values))
    return np.concatenate([i, np.where(s.c == 0, np.zeros_like(f), f), g, o], axis=1)


def recomputed(twin: Differentiable, at: Place, w: Weights, s: Step, d_h: Array, d_c: Array) -> Adjoint:
    """From the step's inputs alone, all else computed again, its sums in another order."""
    again = backward.record_step(replace(twin, preactivations=bias_last), at, w, s.x, s.h, s.c)
    return backward.d_step(twin, at, w, again, d_h, d_c)


def back_in_float64(
    twin: Differentiable,
    config: LSTMConfig,
    params: Params,
    tapes: list[list[Step]],
    masks: list[Array],
    lengths: Array,
    d_result: Whole,
) -> Gradients:
    """The backward pass in float64, of a forward pass in the model's own precision."""
    return backward.d_stack(
        twin,
        config,
        {name: value.astype("float64") for name, value in params.items()},
        [[Step(*(part.astype("float64") for part in step)) for step in steps] for steps in tapes],
        masks,
        lengths,
        Whole(*(part.astype("float64") for part in d_result)),
    )


def flushed_back(twin: Differentiable, at: Place, w: Weights, s: Step, d_h: Array, d_c: Array) -> Adjoint:
    """A step back on a processor that flushes subnormal numbers to zero."""
    return Adjoint(*(flushed(part) for part in backward.d_step(twin, at, w, s, flushed(d_h), flushed(d_c))))


#: Those that differ in one way; composites of them are in ``composites.py``.
SINGLE = (
    Different("blocked-sums", "Dot products are summed in blocks of 8.", blocked(8)),
    Different("wide-blocked-sums", "Dot products are summed in blocks of 32.", blocked(32)),
    Different("reversed-sums", "Dot products are summed from the last term on.", Twin(dot=reversed_dot)),
    Different("pairwise-sums", "Dot products are summed pairwise.", Twin(dot=pairwise_dot)),
    Different("laned-sums", "Dot products are summed in eight lanes.", Twin(dot=laned_dot)),
    Different("fused-biases", "b_ih + b_hh is summed first.", Twin(pack=fused_biases)),
    Different("biases-last", "The recurrent product comes first, the biases last.", Twin(preactivations=bias_last)),
    Different("one-product", "One product of [x, h, 1] with all weights.", Twin(preactivations=joined)),
    Different("hoisted-input-projection", "All steps' input products are made before the loop.", Twin(layer=hoisted)),
    Different("rows-that-go-on", "A step is run for the rows that have not ended.", Twin(layer=rows_that_go_on)),
    Different("longest-row-first", "Rows are sorted inside by their length.", Twin(stack=longest_first)),
    Different("gates-in-another-order", "The gates are computed one by one, o first.", Twin(gates=output_first)),
    Different("sigmoid-by-tanh", "σ(a) = 0.5 + 0.5·tanh(a/2).", Twin(sigmoid=sigmoid_by_tanh)),
    Different("tanh-by-sigmoid", "tanh(a) = 2·σ(2a) − 1.", Twin(tanh=tanh_by_sigmoid)),
    Different("stable-sigmoid", "σ by e^−|a|, whatever the sign.", Twin(sigmoid=stable_sigmoid)),
    Different("tanh-by-exponential", "tanh by e^−2|a|.", Twin(tanh=tanh_by_exponential)),
    Different("activations-3-ulps-off", "σ and tanh are off by up to 3 ulps, in 16 bits by one.",
        Twin(sigmoid=ulps(correct.sigmoid, 3), tanh=ulps(np.tanh, 3))),
    Different("activations-5-ulps", "σ and tanh are off by up to 5 ulps, in 16 bits by one.", off(ulps, 5)),
    Different("activations-5-ulps-far", "σ and tanh are 5 ulps too far from 0, in 16 bits one.", off(always, 5)),
    Different("activations-5-ulps-near", "σ and tanh are 5 ulps too near to 0, in 16 bits one.", off(always, -5)),
    Different("activations-5-ulps-in-turn", "σ and tanh are 5 ulps off, far and near in turn.", off(in_turn, 5)),
    Different("tanh-by-sigmoid-5-ulps-off", "tanh(a) = 2·σ(2a) − 1 of a σ that is 5 ulps too small.",
        tanh_by_sigmoid_off(-5)),
    Different("float64-inside", "float32 models are computed in float64.",
        Twin(precision=lambda twin, config: "float64")),
    Different("fused-cell", "c_t is rounded once.", Twin(cell=fused_cell)),
    Different("flush-to-zero", "Subnormal numbers are flushed to zero.", Twin(step=flushed_step)),
    Different("gradient-from-preactivations", "Derivatives are taken from the preactivations.",
        Differentiable(d_sigmoid=sigmoid_slope, d_tanh=tanh_slope)),
    Different("gradient-tanh-factored", "tanh′ = (1 − y)(1 + y).",
        Differentiable(d_tanh=lambda a, y: (1 - y) * (1 + y))),
    Different("gradient-sums-at-once", "The weights' gradients are one product over all steps.",
        Differentiable(d_sum=sum_at_once)),
    Different("gradient-sums-forward", "The weights' gradients are summed from the first step on.",
        Differentiable(d_sum=sum_forward)),
    Different("gradient-gate-by-gate", "What goes back to x and h is summed gate by gate.",
        Differentiable(d_preactivations=gate_by_gate)),
    Different("first-step-apart", "A first step from nothing is written without its forget gate, c_1 = i ⊙ g.",
        Differentiable(cell=without_a_cell, d_gates=first_step_apart)),
    Different("gradient-recomputed", "The backward pass computes each step anew.", Differentiable(d_step=recomputed)),
    Different("gradient-in-float64", "The backward pass is in float64.", Differentiable(d_stack=back_in_float64)),
    Different("gradient-flush-to-zero", "In the backward pass subnormal numbers are flushed to zero.",
        Differentiable(d_step=flushed_back)),
)  # fmt: skip
