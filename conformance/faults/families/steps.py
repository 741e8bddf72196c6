"""Families of alterations of a step and its parameters, of which the catalogue has only some members."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from conformance.conventions import Transform, Whole
from conformance.conventions.parameters import ORDERS, each, gates_read_as
from conformance.faults import twin as correct
from conformance.faults.alter import Map
from conformance.faults.fault import FINAL, GATES, RANGE, Fault
from conformance.faults.precision import rounded_dot, significand
from conformance.faults.twin import Gates, Place, Twin, Weights
from conformance.spec import GATES as PACKED
from conformance.spec import Array, LSTMConfig, dtype_unavailable

Layer = tuple[Array, Array, Array]


def families() -> Iterator[Fault]:
    """All of them, the simplest first."""
    yield from _orders()
    yield from _activations()
    yield from _cells()
    yield from _forget_biases()
    yield from _results()
    yield from _final_steps()
    yield from _parameters()
    yield from _digits()


def _orders() -> Iterator[Fault]:
    for order in ORDERS:
        if order != PACKED:
            words = f"The gates are read in the order {', '.join(order)}."
            yield Fault(f"gate-order-{order}", words, "", "always", GATES, Twin(transform=gates_read_as(order)))


def _hard(slope: float) -> Map:
    return lambda a: np.clip(a * slope + 0.5, 0, 1).astype(a.dtype)


def _relu(a: Array) -> Array:
    return np.maximum(a, 0)


def _linear(a: Array) -> Array:
    return a


def _softsign(a: Array) -> Array:
    return a / (1 + np.abs(a))


def _hard_tanh(a: Array) -> Array:
    return np.clip(a, -1, 1)


_ACTIVATIONS: dict[str, tuple[str, Map]] = {
    "sigmoid": ("σ", correct.sigmoid),
    "tanh": ("tanh", np.tanh),
    "hard-sigmoid": ("a hard σ, clip(0.2 a + 0.5)", _hard(0.2)),
    "hard-sigmoid-6": ("a hard σ, clip(a/6 + 0.5)", _hard(1 / 6)),
    "hard-sigmoid-4": ("a hard σ, clip(0.25 a + 0.5)", _hard(0.25)),
    "relu": ("relu", _relu),
    "linear": ("the identity", _linear),
    "softsign": ("softsign", _softsign),
    "hard-tanh": ("a hard tanh, clip(a, −1, 1)", _hard_tanh),
}


def _gate_through(index: int, function: Map) -> Twin:
    """One gate's activation exchanged."""

    def gates(twin: Twin, at: Place, w: Weights, a: Array) -> Gates:
        blocks = correct.by_gate(a)
        i, f, g, o = (function(blocks[k]) if k == index else v for k, v in enumerate(correct.gates(twin, at, w, a)))
        return i, f, g, o

    return Twin(gates=gates)


def _activations() -> Iterator[Fault]:
    usual = {"i": "sigmoid", "f": "sigmoid", "g": "tanh", "o": "sigmoid"}
    for name, (words, function) in _ACTIVATIONS.items():
        for index, gate in enumerate(PACKED):
            if usual[gate] != name:
                twin = _gate_through(index, function)
                yield Fault(
                    f"{gate}-through-{name}", f"{gate} is {words} of its preactivation.", "", "always", GATES, twin
                )
        if name != "sigmoid":
            told = f"i, f and o are {words} of their preactivations."
            yield Fault(f"gates-through-{name}", told, "", "always", GATES, Twin(sigmoid=function))
        if name != "tanh":
            told = f"h_t = o · φ(c_t), and φ is {words}."
            yield Fault(f"cell-through-{name}", told, "", "always", GATES, _hidden(function))
            told = f"Both tanh are {words}."
            yield Fault(f"both-tanh-through-{name}", told, "", "always", GATES, Twin(tanh=function))


def _hidden(function: Map) -> Twin:
    return Twin(hidden=lambda twin, at, o, c_t: o * function(c_t))


def _cells() -> Iterator[Fault]:
    """The step's equations with a factor missing or exchanged."""
    cells: dict[str, tuple[str, Callable[..., Array]]] = {
        "cell-without-forget-gate": ("c_t = c_{t−1} + i·g.", lambda t, at, i, f, g, c: c + i * g),
        "cell-without-input-gate": ("c_t = f·c_{t−1} + g.", lambda t, at, i, f, g, c: f * c + g),
        "cell-forgets-all": ("c_t = i·g.", lambda t, at, i, f, g, c: i * g),
        "cell-takes-nothing-in": ("c_t = f·c_{t−1}.", lambda t, at, i, f, g, c: f * c),
        "cell-subtracts": ("c_t = f·c_{t−1} − i·g.", lambda t, at, i, f, g, c: f * c - i * g),
        "cell-through-its-own-tanh": ("c_t = tanh(f·c_{t−1} + i·g).", lambda t, at, i, f, g, c: t.tanh(f * c + i * g)),
        "cell-coupled-to-forget": ("c_t = f·c_{t−1} + (1 − f)·g.", lambda t, at, i, f, g, c: f * c + (1 - f) * g),
        "cell-gates-exchanged": ("c_t = i·c_{t−1} + f·g.", lambda t, at, i, f, g, c: i * c + f * g),
        "cell-reads-squashed": ("c_t = f·tanh(c_{t−1}) + i·g.", lambda t, at, i, f, g, c: f * t.tanh(c) + i * g),
    }
    for id, (words, cell) in cells.items():
        yield Fault(id, words, "", "always", GATES, Twin(cell=cell))
    hidden: dict[str, tuple[str, Callable[..., Array]]] = {
        "hidden-without-output-gate": ("h_t = tanh(c_t).", lambda t, at, o, c_t: t.tanh(c_t)),
        "hidden-is-output-gate": ("h_t = o.", lambda t, at, o, c_t: o),
        "hidden-is-cell": ("h_t = c_t.", lambda t, at, o, c_t: c_t),
    }
    for id, (words, piece) in hidden.items():
        yield Fault(id, words, "", "always", GATES, Twin(hidden=piece))


_SCALED = {
    "parameters-ignored": ("Parameters are ignored.", 0.0),
    "parameters-negated": ("Parameters are negated.", -1.0),
    "parameters-doubled": ("Parameters count twice.", 2.0),
    "parameters-halved": ("Parameters count half.", 0.5),
}

#: The ids of those that mean something in a scope only.
SCOPED_ONLY = tuple(_SCALED)


def _scaled(factor: float) -> Callable[[LSTMConfig, str, Array], Array]:
    return lambda config, name, value: (value * value.dtype.type(factor)).astype(value.dtype)


def _final_steps() -> Iterator[Fault]:
    """Final states of another step than the last that a direction reads."""

    def after_first(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
        output, _, _ = correct.layer(twin, at, w, x, h, c, lengths)
        read = twin.flip(twin, at, x, lengths)
        h_1, c_1 = twin.step(twin, at, w, read[0], h, c)
        return output, h_1, c_1

    def given(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
        return correct.layer(twin, at, w, x, h, c, lengths)[0], h, c

    layers: dict[str, tuple[str, Callable[..., Layer]]] = {
        "final-states-of-first-step": ("h_n and c_n are those of the first step that is read.", after_first),
        "final-states-are-initial": ("h_n and c_n are the initial state.", given),
    }
    for id, (words, layer) in layers.items():
        yield Fault(id, words, "", "L > 1", FINAL, Twin(layer=layer))


def _parameters() -> Iterator[Fault]:
    """What is done to one tensor, or in one gate: only in such a scope is it simple."""
    for id, (words, factor) in _SCALED.items():
        yield Fault(id, words, "", "always", GATES, Twin(transform=each(_scaled(factor))))


def _forget_biases() -> Iterator[Fault]:
    for gate, index in zip(PACKED, range(4), strict=True):
        for amount in (1.0, -1.0, 0.5, 2.0):
            if (gate, amount) != ("f", 1.0):
                words = f"{amount:g} is added to the bias of gate {gate}."
                yield Fault(f"bias-{gate}-plus-{amount:g}", words, "", "with bias", GATES, _plus(index, amount))

    for index, gate in enumerate(PACKED):
        words = f"1 is added to the preactivation of gate {gate}, with biases and without."
        twin = _gate_raised(index)
        yield Fault(f"gate-{gate}-plus-1", words, "", "always", GATES, twin)


def _gate_raised(index: int) -> Twin:
    def preactivations(twin: Twin, at: Place, w: Weights, x_t: Array, h: Array) -> Array:
        a = correct.preactivations(twin, at, w, x_t, h).copy()
        H = a.shape[1] // 4
        a[:, index * H : (index + 1) * H] += a.dtype.type(1)
        return a

    return Twin(preactivations=preactivations)


def _plus(index: int, amount: float) -> Twin:
    def change(config: LSTMConfig, name: str, value: Array) -> Array:
        blocks = value.reshape(4, -1).copy()
        blocks[index] += value.dtype.type(amount)
        return blocks.reshape(value.shape)

    return Twin(transform=each(change, "bias_ih"))


def _results() -> Iterator[Fault]:
    """What stands in the place of a final state."""
    made: dict[str, tuple[str, Callable[[LSTMConfig, Whole], Whole]]] = {
        "c-n-zeros": ("c_n is zeros.", lambda config, r: r._replace(c_n=0 * r.c_n)),
        "h-n-is-c-n": ("h_n is a copy of c_n.", lambda config, r: r if config.proj_size else r._replace(h_n=r.c_n)),
        "output-negated": ("The output is negated.", lambda config, r: r._replace(output=-r.output)),
        "h-n-squashed": ("h_n has passed through tanh.", lambda config, r: r._replace(h_n=np.tanh(r.h_n))),
    }
    for id, (words, result) in made.items():
        yield Fault(id, words, "", "always", FINAL, Twin(transform=Transform(result=result)))


def _digits() -> Iterator[Fault]:
    """Fewer digits than those of the catalogue."""
    yield Fault("bf16-factors", "Products use factors rounded to bfloat16.", "oneDNN and TPUs at default precision",
        "always", RANGE, rounded_dot(significand(7)))  # fmt: skip
    for dtype in ("float16", "bfloat16"):
        if dtype_unavailable(dtype) is None:
            words = f"Everything is computed and stored in {dtype}."
            yield Fault(f"stored-in-{dtype}", words, "mixed precision", "float32 and float64", RANGE, _stored_in(dtype))


def _stored_in(dtype: str) -> Twin:
    return Twin(precision=lambda twin, config: dtype if config.dtype in ("float32", "float64") else config.dtype)
