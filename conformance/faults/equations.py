"""Faults of a step's equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from conformance.faults import twin as correct
from conformance.faults.alter import Map, made
from conformance.faults.fault import GATES, Fault
from conformance.faults.twin import Gates, Place, Twin, Weights
from conformance.spec import Array, State


def gate(index: int, change: Map) -> Twin:
    """One of i, f, g, o changed after its activation."""

    def gates(twin: Twin, at: Place, w: Weights, a: Array) -> Gates:
        i, f, g, o = (change(v) if k == index else v for k, v in enumerate(correct.gates(twin, at, w, a)))
        return i, f, g, o

    return Twin(gates=gates)


def activated(change: Callable[[Twin, Array, Array, Array, Array], Gates]) -> Twin:
    """Gates made from the preactivations a_i, a_f, a_g, a_o."""
    return Twin(gates=lambda twin, at, w, a: change(twin, *correct.by_gate(a)))


def celled(change: Map) -> Twin:
    """The cell changed at every step."""
    return made("cell", lambda at, c_t: change(c_t))


def projected(change: Callable[[Twin, Weights, Array], Array]) -> Twin:
    """The projection of m (N, H), where there is one, done otherwise."""
    return Twin(project=lambda twin, at, w, m: change(twin, w, m) if "weight_hr" in w else m)


def _from_old_cell(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    i, f, g, o = twin.gates(twin, at, w, twin.preactivations(twin, at, w, x, h))
    m = twin.hidden(twin, at, o, c)
    return twin.project(twin, at, w, m), twin.cell(twin, at, i, f, g, c)


def _forget_bias_after(twin: Twin, at: Place, w: Weights, a: Array) -> Gates:
    i, f, g, o = correct.gates(twin, at, w, a)
    if "bias_ih" not in w:
        return i, f, g, o
    b = np.split(w["bias_ih"] + w["bias_hh"], 4)[1]
    return i, twin.sigmoid(correct.by_gate(a)[1] - b) + b, g, o


def _coupled(twin: Twin, at: Place, w: Weights, a: Array) -> Gates:
    i, _, g, o = correct.gates(twin, at, w, a)
    return i, 1 - i, g, o


def _peephole(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    """An output gate that sees the cell with weight 1e-3."""
    sees = 1e-3 * np.concatenate([0 * c, 0 * c, 0 * c, c], axis=1)
    looking = replace(twin, preactivations=lambda _, at, w, x, h: twin.preactivations(twin, at, w, x, h) + sees)
    return correct.step(looking, at, w, x, h, c)


def _unprojected_recurrence(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    """In the recurrence of a projected model, tanh(c) of the first P units stands for h."""
    back = np.tanh(c[:, : h.shape[1]]) if "weight_hr" in w and at.t else h
    return correct.step(twin, at, w, x, back, c)


FAULTS = (
    Fault("forget-bias-after-sigmoid", "The forget gate's bias is added after the sigmoid.", "tvm PR3410", "with bias",
        GATES, Twin(gates=_forget_bias_after)),
    Fault("input-forget", "The forget gate is 1 − i.", "ONNX input_forget, TFLite", "always", GATES,
        Twin(gates=_coupled)),
    Fault("candidate-through-sigmoid", "g is σ instead of tanh.", "Keras activations swapped", "always", GATES,
        activated(lambda t, i, f, g, o: (t.sigmoid(i), t.sigmoid(f), t.sigmoid(g), t.sigmoid(o)))),
    Fault("candidate-linear", "g is its preactivation.", "CoreML activations", "always", GATES,
        activated(lambda t, i, f, g, o: (t.sigmoid(i), t.sigmoid(f), g, t.sigmoid(o)))),
    Fault("output-gate-tanh", "o is tanh instead of σ.", "CoreML activations", "always", GATES,
        activated(lambda t, i, f, g, o: (t.sigmoid(i), t.sigmoid(f), t.tanh(g), t.tanh(o)))),
    Fault("input-gate-added", "c_t = f·c + (i + g).", "torchrecurrent#22", "always", GATES,
        Twin(cell=lambda twin, at, i, f, g, c: f * c + (i + g))),
    Fault("forget-gate-on-both", "c_t = f·(c + i·g).", "hand-written cells", "always", GATES,
        Twin(cell=lambda twin, at, i, f, g, c: f * (c + i * g))),
    Fault("hidden-without-tanh", "h_t = o·c_t.", "OpenVINO third activation", "always", GATES,
        Twin(hidden=lambda twin, at, o, c: o * c)),
    Fault("hidden-tanh-outside", "h_t = tanh(o·c_t).", "hand-written cells", "always", GATES,
        Twin(hidden=lambda twin, at, o, c: twin.tanh(o * c))),
    Fault("hidden-from-old-cell", "h_t uses the cell before its update.", "hand-written cells", "always", GATES,
        Twin(step=_from_old_cell)),
    Fault("peephole", "The output gate sees the old cell with weight 1e-3.", "ONNX, TFLite peepholes", "c_0 or L > 1",
        GATES, Twin(step=_peephole)),
    Fault("leaky-forget", "The forget gate is multiplied by 1 − 1e-5.", "numeric guards", "float32: gates open", GATES,
        gate(1, lambda f: f * (1 - 1e-5))),
    Fault("sigmoid-epsilon", "1e-6 is added to σ's denominator.", "numeric guards", "always", GATES,
        Twin(sigmoid=lambda a: 1 / (1 + np.exp(-a) + 1e-6))),
    Fault("cell-epsilon", "1e-6 is added to the cell at every step.", "numeric guards", "always", GATES,
        celled(lambda c: c + 1e-6)),
    Fault("projection-not-recurrent", "A projected model goes on with tanh(c) of its first P units.", "pytorch#74953",
        "projection, L > 1", GATES, Twin(step=_unprojected_recurrence)),
    Fault("projection-skipped", "The projection keeps the first P units.", "pytorch#74953", "projection", GATES,
        projected(lambda twin, w, m: m[:, : len(w["weight_hr"])])),
    Fault("projection-twice", "The projection is applied twice.", "pytorch#74953", "projection", GATES,
        projected(lambda twin, w, m: (
            lambda h: twin.dot(h, w["weight_hr"][:, : h.shape[1]]))(twin.dot(m, w["weight_hr"])))),
    Fault("projection-then-tanh", "The projected h passes through tanh.", "LSTMP variants", "projection", GATES,
        projected(lambda twin, w, m: twin.tanh(twin.dot(m, w["weight_hr"])))),
    Fault("tanh-of-projected-cell", "The cell is projected instead of o·tanh(c).", "LSTMP variants", "projection",
        GATES, Twin(hidden=lambda twin, at, o, c: o * c if at.config.proj_size else o * twin.tanh(c))),
)  # fmt: skip
