"""The derivatives and the products of one step, and what passes from a step to the one before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from conformance.backend import reorder
from conformance.conventions.parameters import ORDERS
from conformance.faults import backward as correct
from conformance.faults import twin as forward
from conformance.faults.alter import given, made
from conformance.faults.backward import Adjoint, Differentiable, Step
from conformance.faults.fault import Fault
from conformance.faults.gradients import fault, slope
from conformance.faults.twin import Gates, Place, Twin, Weights
from conformance.spec import GATES as PACKED
from conformance.spec import Array

#: The gradients of one step: of i, f, g and o, of what c_t gains and of c_{t−1}, each from d_m or d_c_t.
_Change = Callable[[Step, Array], Array]


def families() -> Iterator[Fault]:
    """All of them, those of one step first."""
    yield from _slopes()
    yield from _factors()
    yield from _recurrences()
    yield from _orders()


# One step


def _slopes() -> Iterator[Fault]:
    """An activation's derivative missing or another."""
    derivatives: dict[str, tuple[str, Callable[[Array, Array], Array]]] = {
        "missing": ("1", lambda a, y: np.ones_like(y)),
        "y": ("y", lambda a, y: y),
        "1-y": ("1 − y", lambda a, y: 1 - y),
        "y-squared": ("y²", lambda a, y: y * y),
        "y(1-y)": ("y(1 − y)", lambda a, y: y * (1 - y)),
        "y(1+y)": ("y(1 + y)", lambda a, y: y * (1 + y)),
        "1-y-squared": ("1 − y²", lambda a, y: 1 - y * y),
        "1+y-squared": ("1 + y²", lambda a, y: 1 + y * y),
        "a(1-a)": ("a(1 − a) of the preactivation a", lambda a, y: a * (1 - a)),
        "1-a-squared": ("1 − a² of the preactivation a", lambda a, y: 1 - a * a),
        "twice-sigmoid": ("σ′(y) of the value y", lambda a, y: _sigmoid_slope(y)),
        "twice-tanh": ("tanh′(y) of the value y", lambda a, y: 1 - np.tanh(y) ** 2),
        "sigmoid-of-a": ("σ′(a)", lambda a, y: _sigmoid_slope(a)),
        "hard": ("that of a hard sigmoid, 0.2 within ±2.5", lambda a, y: _within(a, 2.5, 0.2)),
        "hard-6": ("that of a hard sigmoid, 1/6 within ±3", lambda a, y: _within(a, 3.0, 1 / 6)),
        "hard-tanh": ("that of a hard tanh, 1 within ±1", lambda a, y: _within(a, 1.0, 1.0)),
        "relu": ("that of relu", lambda a, y: (a > 0).astype(a.dtype)),
    }
    for name, (words, derivative) in derivatives.items():
        for index, gate in enumerate(PACKED):
            yield fault(
                f"gradient-slope-{gate}-{name}",
                f"{gate}'s derivative is {words}.",
                "",
                "always",
                slope(index, derivative),
            )
        told = f"The derivative of i, f and o is {words} of each one's value y."
        yield fault(f"gradient-slope-sigmoid-{name}", told, "", "always", Differentiable(d_sigmoid=derivative))
        told = f"The derivative of both tanh is {words}."
        yield fault(f"gradient-slope-tanh-{name}", told, "", "always", Differentiable(d_tanh=derivative))
        told = f"The derivative of tanh(c_t) is {words}."
        yield fault(f"gradient-slope-cell-{name}", told, "", "always", _hidden(_cell_slope(derivative)))


def _sigmoid_slope(a: Array) -> Array:
    s = forward.sigmoid(a)
    return s * (1 - s)


def _within(a: Array, limit: float, height: float) -> Array:
    return np.where(np.abs(a) < limit, height, 0).astype(a.dtype)


def _cell_slope(derivative: Callable[[Array, Array], Array]) -> _Change:
    return lambda s, d_m: d_m * s.o * derivative(s.c_t, np.tanh(s.c_t))


def _hidden(gain: _Change | None = None, d_o: _Change | None = None) -> Twin:
    def d_hidden(twin: Differentiable, at: Place, s: Step, d_m: Array) -> tuple[Array, Array]:
        of_o, of_c = correct.d_hidden(twin, at, s, d_m)
        return of_o if d_o is None else d_o(s, d_m), of_c if gain is None else gain(s, d_m)

    return Differentiable(d_hidden=d_hidden)


def _cell(index: int, change: _Change) -> Twin:
    def d_cell(twin: Differentiable, at: Place, s: Step, d_c: Array) -> Gates:
        parts = list(correct.d_cell(twin, at, s, d_c))
        parts[index] = change(s, d_c)
        return parts[0], parts[1], parts[2], parts[3]

    return Differentiable(d_cell=d_cell)


def _factors() -> Iterator[Fault]:
    """A factor in one of the step's products missing or exchanged."""
    factors: dict[str, Callable[[Step], Array | float]] = {
        "1": lambda s: 1,
        "i": lambda s: s.i,
        "f": lambda s: s.f,
        "g": lambda s: s.g,
        "o": lambda s: s.o,
        "c_t": lambda s: s.c_t,
        "c_{t−1}": lambda s: s.c,
        "tanh(c_t)": lambda s: np.tanh(s.c_t),
        "tanh(c_{t−1})": lambda s: np.tanh(s.c),
    }

    def ascii(name: str) -> str:
        return name.replace("{t−1}", "before").replace("(", "-").replace(")", "").replace("_", "-")

    for index, (part, right) in enumerate((("d_i", "g"), ("d_f", "c_{t−1}"), ("d_g", "i"), ("d_c_{t−1}", "f"))):
        for name, factor in factors.items():
            if name != right:
                id = f"gradient-{ascii(part)}-by-{ascii(name)}"
                yield fault(id, f"{part} = d_c_t · {name}.", "", "always", _cell(index, _times(factor)))
    for name, factor in factors.items():
        if name != "tanh(c_t)":
            yield fault(
                f"gradient-d-o-by-{ascii(name)}", f"d_o = d_m · {name}.", "", "always", _hidden(d_o=_times(factor))
            )
        if name != "o":
            told = f"d_c_t gains d_m · {name} · tanh′(c_t)."
            yield fault(f"gradient-d-c-gains-by-{ascii(name)}", told, "", "always", _hidden(gain=_gaining(factor)))
    told = "d_c_t gains nothing from d_m."
    yield fault("gradient-d-c-gains-nothing", told, "", "always", _hidden(gain=lambda s, d_m: 0 * d_m))
    for index, gate in enumerate(PACKED):
        for name, words, factor in (("none", "zero", 0), ("negated", "negated", -1), ("twice", "doubled", 2)):
            told = f"The gradient of {gate}'s preactivation is {words}."
            yield fault(f"gradient-of-{gate}-{name}", told, "", "always", made("d_gates", _block(index, factor)))


def _times(factor: Callable[[Step], Array | float]) -> _Change:
    return lambda s, d: d * factor(s)


def _gaining(factor: Callable[[Step], Array | float]) -> _Change:
    return lambda s, d_m: d_m * factor(s) * (1 - np.tanh(s.c_t) ** 2)


def _block(index: int, factor: int) -> Callable[[Place, Array], Array]:
    def change(at: Place, d_a: Array) -> Array:
        blocks = d_a.reshape(len(d_a), 4, -1).copy()
        blocks[:, index] *= factor
        return blocks.reshape(d_a.shape)

    return change


# From step to step


def _step_gives(change: Callable[[Place, Adjoint], Adjoint]) -> Twin:
    return made("d_step", change)


def _orders() -> Iterator[Fault]:
    """The preactivations' gradients packed in another order: for all that is made of them, or for d_x and d_h alone."""
    for order in ORDERS:
        if order == PACKED:
            continue
        packed = _in_order(order)
        yield fault(
            f"gradient-of-gates-in-order-{order}",
            f"The gradients of the gates' preactivations are packed {', '.join(order)}, and used as i, f, g, o.",
            "",
            "always",
            made("d_gates", lambda at, d_a, packed=packed: packed(d_a)),
        )
        yield fault(
            f"gradient-products-in-order-{order}",
            f"d_x and d_h are made of preactivations' gradients that are packed {', '.join(order)}.",
            "",
            "always",
            given("d_preactivations", lambda at, w, d_a, packed=packed: (w, packed(d_a))),
        )


def _in_order(order: str) -> Callable[[Array], Array]:
    return lambda d_a: reorder(d_a.T, order).T


def _untransposed(name: str) -> Twin:
    """A product with each gate's square block of a weight in place of its transpose."""

    def d_preactivations(twin: Differentiable, at: Place, w: Weights, d_a: Array) -> tuple[Array, Array]:
        d_x, d_h = correct.d_preactivations(twin, at, w, d_a)
        weight = w[name]
        H = len(weight) // 4
        if weight.shape[1] != H:
            return d_x, d_h
        turned = weight.reshape(4, H, H).swapaxes(1, 2).reshape(4 * H, H)
        product = twin.dot(d_a, turned.T)
        return (product, d_h) if name == "weight_ih" else (d_x, product)

    return Differentiable(d_preactivations=d_preactivations)


def _exchanged_weights(twin: Differentiable, at: Place, w: Weights, d_a: Array) -> tuple[Array, Array]:
    d_x, d_h = correct.d_preactivations(twin, at, w, d_a)
    return (d_h, d_x) if d_x.shape == d_h.shape else (d_x, d_h)


def _of_output_alone(twin: Differentiable, at: Place, w: Weights, s: Step, d_h: Array, d_c: Array) -> Adjoint:
    """A step whose gradient of c comes from its own output alone, or from what is later alone."""
    return correct.d_step(twin, at, w, s, d_h, 0 * d_c)


def _recurrences() -> Iterator[Fault]:
    changes: dict[str, tuple[str, Twin]] = {
        "gradient-cell-detached-between-steps": (
            "No gradient passes through c from a step to the one before it; c_0 has its own.",
            _step_gives(lambda at, d: d._replace(c=0 * d.c) if at.t else d),
        ),
        "gradient-state-detached-between-steps": (
            "No gradient passes from a step to the one before it; the initial state has its own.",
            _step_gives(lambda at, d: d._replace(h=0 * d.h, c=0 * d.c) if at.t else d),
        ),
        "gradient-state-detached": (
            "No gradient passes through the state, neither from step to step nor to the initial state.",
            _step_gives(lambda at, d: d._replace(h=0 * d.h, c=0 * d.c)),
        ),
        "gradient-hidden-passed-on-twice": (
            "The gradient that passes through h from step to step is doubled.",
            _step_gives(lambda at, d: d._replace(h=2 * d.h)),
        ),
        "gradient-hidden-subtracted": (
            "The gradient that passes through h from step to step is negated.",
            _step_gives(lambda at, d: d._replace(h=-d.h)),
        ),
        "gradient-cell-not-accumulated": (
            "A step's gradient of c comes from its own h alone.",
            Differentiable(d_step=_of_output_alone),
        ),
        "gradient-recurrent-weight-untransposed": (
            "d_h is made with W_hh's square blocks for their transposes.",
            _untransposed("weight_hh"),
        ),
        "gradient-input-weight-untransposed": (
            "d_x is made with W_ih's square blocks for their transposes.",
            _untransposed("weight_ih"),
        ),
        "gradient-x-and-h-exchanged": (
            "The gradients of x_t and of h_{t−1} change places where they are alike.",
            Differentiable(d_preactivations=_exchanged_weights),
        ),
    }
    for id, (words, twin) in changes.items():
        yield fault(id, words, "", "always", twin)
