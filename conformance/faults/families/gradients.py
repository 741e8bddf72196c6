"""Families of alterations of the backward pass, of which the catalogue has only some members."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from conformance.backend import reorder
from conformance.conventions.parameters import ORDERS
from conformance.faults import backward as correct
from conformance.faults import twin as forward
from conformance.faults.alter import given, made
from conformance.faults.backward import Adjoint, Differentiable, Gradients, Step, Sweep
from conformance.faults.fault import GRADIENTS, Fault
from conformance.faults.gradients import DIFFERENTIABLE, slope, summed
from conformance.faults.twin import Gates, Place, Twin, Weights
from conformance.spec import GATES as PACKED
from conformance.spec import Array, LSTMConfig

#: The gradients of one step: of i, f, g and o, of what c_t gains and of c_{t−1}, each from d_m or d_c_t.
_Change = Callable[[Step, Array], Array]


def families() -> Iterator[Fault]:
    """All of them, the simplest first."""
    for id, (words, twin) in {**_RECEIVED, **_STATES, **_STACKS, **_PADDING}.items():
        yield _fault(id, words, twin)
    yield from _slopes()
    yield from _factors()
    yield from _recurrences()
    yield from _weights()
    yield from _orders()
    yield from _copied_rows()
    for id, (words, twin) in _SCALED.items():
        yield _fault(id, words, twin)


def _fault(id: str, words: str, twin: Twin) -> Fault:
    return Fault(id, words, "", "always", GRADIENTS, twin, DIFFERENTIABLE)


# What a layer and direction receives from above


def _received(change: Callable[[Place, Array, Array, Array, Array], tuple[Array, Array, Array]]) -> Twin:
    """The gradients that a layer and direction gets from above, changed; the change knows the lengths."""
    return given("d_layer", lambda at, w, steps, lengths, *d: (w, steps, lengths, *change(at, lengths, *d)))


def _last_steps(d_y: Array, lengths: Array, value: Array | float) -> Array:
    """The gradient of the output with another value at each row's last step."""
    changed = d_y.copy()
    changed[lengths - 1, np.arange(len(lengths))] = value
    return changed


def _swapped(at: Place, lengths: Array, d_y: Array, d_h: Array, d_c: Array) -> tuple[Array, Array, Array]:
    return (d_y, d_c, d_h) if d_h.shape == d_c.shape else (d_y, d_h, d_c)


def _shifted(d_y: Array, by: int) -> Array:
    """Each step has the gradient of the one before it (1) or after it (−1); zeros come in at the end."""
    none = np.zeros_like(d_y[:1])
    return np.concatenate([none, d_y[:-1]] if by > 0 else [d_y[1:], none])


def _first_alone(d_y: Array) -> Array:
    return np.concatenate([d_y[:1], 0 * d_y[1:]])


_RECEIVED: dict[str, tuple[str, Twin]] = {
    "gradient-of-output-ignored": ("grad_output is ignored.", _received(lambda at, n, y, h, c: (0 * y, h, c))),
    "gradient-of-states-ignored": (
        "grad_h_n and grad_c_n are ignored.",
        _received(lambda at, n, y, h, c: (y, 0 * h, 0 * c)),
    ),
    "gradient-of-h-n-twice": ("grad_h_n counts twice.", _received(lambda at, n, y, h, c: (y, 2 * h, c))),
    "gradient-of-c-n-twice": ("grad_c_n counts twice.", _received(lambda at, n, y, h, c: (y, h, 2 * c))),
    "gradient-of-output-twice": ("grad_output counts twice.", _received(lambda at, n, y, h, c: (2 * y, h, c))),
    "gradient-of-h-n-negated": ("grad_h_n is subtracted.", _received(lambda at, n, y, h, c: (y, -h, c))),
    "gradient-of-c-n-negated": ("grad_c_n is subtracted.", _received(lambda at, n, y, h, c: (y, h, -c))),
    "gradient-of-final-states-swapped": ("grad_h_n and grad_c_n change places.", _received(_swapped)),
    "gradient-of-h-n-for-last-output": (
        "grad_h_n takes the place of the last step's grad_output.",
        _received(lambda at, n, y, h, c: (_last_steps(y, n, 0.0) if not at.direction else y, h, c)),
    ),
    "gradient-of-last-output-twice": (
        "The last step's grad_output counts twice.",
        _received(lambda at, n, y, h, c: (y, h + y[n - 1, np.arange(len(n))], c)),
    ),
    "gradient-of-first-output-alone": (
        "Only the first step's grad_output counts.",
        _received(lambda at, n, y, h, c: (_first_alone(y), h, c)),
    ),
    "gradient-of-output-a-step-late": (
        "Each step has the grad_output of the one before it.",
        _received(lambda at, n, y, h, c: (_shifted(y, 1), h, c)),
    ),
    "gradient-of-output-a-step-early": (
        "Each step has the grad_output of the one after it.",
        _received(lambda at, n, y, h, c: (_shifted(y, -1), h, c)),
    ),
    "gradient-of-output-in-reverse": (
        "grad_output is read from the last step to the first.",
        _received(lambda at, n, y, h, c: (y[::-1], h, c)),
    ),
    "gradient-of-output-summed": (
        "Every step has the sum of grad_output over the steps.",
        _received(lambda at, n, y, h, c: (np.broadcast_to(y.sum(axis=0), y.shape), h, c)),
    ),
    "gradient-of-c-n-at-every-step": (
        "grad_c_n is added at every step.",
        Differentiable(d_layer=lambda *arguments: _cell_everywhere(*arguments)),
    ),
}


def _cell_everywhere(
    twin: Differentiable, at: Place, w: Weights, steps: Any, lengths: Array, d_y: Array, d_h: Array, d_c: Array
) -> Sweep:
    step = twin.d_step

    def d_step(inner: Differentiable, now: Place, w: Weights, s: Step, h: Array, c: Array) -> Adjoint:
        return step(inner, now, w, s, h, c if now.t == now.steps - 1 else c + d_c)

    return correct.d_layer(replace(twin, d_step=d_step), at, w, steps, lengths, d_y, d_h, d_c)


# The initial state's gradients


def _exchanged(at: Place, sweep: Sweep) -> Sweep:
    same = sweep.h_0.shape == sweep.c_0.shape
    return sweep._replace(h_0=sweep.c_0, c_0=sweep.h_0) if same else sweep


def _early(name: str) -> Any:
    """The gradient of a state before the first step is that after it."""

    def d_step(twin: Differentiable, at: Place, w: Weights, s: Step, d_h: Array, d_c: Array) -> Adjoint:
        before = correct.d_step(twin, at, w, s, d_h, d_c)
        if at.t:
            return before
        return before._replace(h=d_h) if name == "h" else before._replace(c=d_c)

    return Differentiable(d_step=d_step)


def _slots(change: Callable[[LSTMConfig, Array], Array], *names: str) -> Twin:
    """The gradients of the states (layers·D, N, ·) with other slots."""

    def changed(config: LSTMConfig, grads: Gradients) -> Gradients:
        return grads | {name: change(config, grads[name]) for name in names}

    return made("d_stack", changed)


def _directions_exchanged(config: LSTMConfig, value: Array) -> Array:
    if not config.bidirectional:
        return value
    return value.reshape(config.num_layers, 2, *value.shape[1:])[:, ::-1].reshape(value.shape)


def _by_direction(config: LSTMConfig, value: Array) -> Array:
    """All layers' forward slots first, then all reverse ones."""
    D = config.num_directions
    return value.reshape(config.num_layers, D, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)


_STATES: dict[str, tuple[str, Twin]] = {
    "gradient-of-initial-states-swapped": (
        "The gradients of h_0 and c_0 change places.",
        made("d_layer", _exchanged),
    ),
    "gradient-of-h-0-a-step-late": ("The gradient of h_0 is that of the first step's h.", _early("h")),
    "gradient-of-c-0-a-step-late": ("The gradient of c_0 is that of the first step's c.", _early("c")),
    "gradient-of-state-slots-of-directions-exchanged": (
        "The states' gradients of the two directions change places.",
        _slots(_directions_exchanged, "h_0", "c_0"),
    ),
    "gradient-of-state-slots-by-direction": (
        "The states' gradients lie by direction, then by layer.",
        _slots(_by_direction, "h_0", "c_0"),
    ),
    "gradient-of-state-slots-of-first-layer": (
        "All states' gradients are the first slot's.",
        _slots(lambda config, v: np.broadcast_to(v[:1], v.shape), "h_0", "c_0"),
    ),
    "gradient-of-state-summed-over-rows": (
        "The states' gradients are summed over the rows.",
        _slots(lambda config, v: np.broadcast_to(v.sum(axis=1, keepdims=True), v.shape), "h_0", "c_0"),
    ),
}


# Layers and directions


def _final_slots(change: Callable[[LSTMConfig, Array], Array]) -> Twin:
    """grad_h_n and grad_c_n with other slots."""

    def changed(config: LSTMConfig, params: Any, tapes: Any, masks: Any, lengths: Array, d: Any) -> Any:
        return params, tapes, masks, lengths, d._replace(h_n=change(config, d.h_n), c_n=change(config, d.c_n))

    return given("d_stack", changed)


_STACKS: dict[str, tuple[str, Twin]] = {
    "gradient-not-passed-below": (
        "No gradient passes from a layer to the one below it.",
        made("d_feed", lambda at, below: 0 * below if at.layer else below),
    ),
    "gradient-of-x-forward-not-added": (
        "The forward direction's gradient of what it reads is not added.",
        given("d_feed", lambda at, halves: (halves[-1:],)),
    ),
    "gradient-of-x-averaged-over-directions": (
        "The gradients of both directions are averaged where they are to be added.",
        made("d_feed", lambda at, below: below / below.dtype.type(at.config.num_directions)),
    ),
    "gradient-of-output-halves-exchanged": (
        "Each direction reads the other's half of grad_output.",
        made("d_join", lambda at, halves: halves[::-1]),
    ),
    "gradient-of-output-forward-half-for-both": (
        "Both directions read the forward half of grad_output.",
        made("d_join", lambda at, halves: [halves[0]] * len(halves)),
    ),
    "gradient-of-final-slots-reversed": (
        "grad_h_n and grad_c_n are read from the last layer to the first.",
        _final_slots(lambda config, v: v[::-1]),
    ),
    "gradient-of-final-directions-exchanged": (
        "grad_h_n and grad_c_n of the two directions change places.",
        _final_slots(_directions_exchanged),
    ),
    "gradient-of-final-slots-by-direction": (
        "grad_h_n and grad_c_n are read by direction, then by layer.",
        _final_slots(_by_direction),
    ),
    "gradient-of-final-first-slot-for-all": (
        "Every layer and direction reads the first slot of grad_h_n and grad_c_n.",
        _final_slots(lambda config, v: np.broadcast_to(v[:1], v.shape)),
    ),
    "gradient-of-final-last-slot-for-all": (
        "Every layer and direction reads the last slot of grad_h_n and grad_c_n.",
        _final_slots(lambda config, v: np.broadcast_to(v[-1:], v.shape)),
    ),
}


# Padding


def _always(twin: Twin, at: Place, lengths: Array) -> Array:
    return np.ones((len(lengths), 1), bool)


def _final_at_padded_end(twin: Differentiable, at: Place, w: Weights, steps: Any, lengths: Array, *d: Array) -> Sweep:
    """The padding is passed back through like any other steps; its x is zeros."""
    return correct.d_layer(replace(twin, updates=_always, shows=_always), at, w, steps, lengths, *d)


def _held(which: str) -> Twin:
    """In the padding one part of the state's gradient is lost, the other held."""

    def d_layer(
        twin: Differentiable,
        at: Place,
        w: Weights,
        steps: list[Step],
        lengths: Array,
        d_y: Array,
        d_h: Array,
        d_c: Array,
    ) -> Sweep:
        short = (lengths < len(steps))[:, None]
        d_h = np.where(short, 0 * d_h, d_h) if which == "h" else d_h
        d_c = np.where(short, 0 * d_c, d_c) if which == "c" else d_c
        return correct.d_layer(twin, at, w, steps, lengths, d_y, d_h, d_c)

    return Differentiable(d_layer=d_layer)


_PADDING: dict[str, tuple[str, Twin]] = {
    "gradient-through-the-padding": (
        "The gradient passes back through the padding as through other steps.",
        Differentiable(d_layer=_final_at_padded_end),
    ),
    "gradient-of-h-n-lost-in-short-rows": ("grad_h_n is lost in rows that end early.", _held("h")),
    "gradient-of-c-n-lost-in-short-rows": ("grad_c_n is lost in rows that end early.", _held("c")),
}


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
            yield _fault(f"gradient-slope-{gate}-{name}", f"{gate}'s derivative is {words}.", slope(index, derivative))
        told = f"The derivative of i, f and o is {words} of each one's value y."
        yield _fault(f"gradient-slope-sigmoid-{name}", told, Differentiable(d_sigmoid=derivative))
        told = f"The derivative of both tanh is {words}."
        yield _fault(f"gradient-slope-tanh-{name}", told, Differentiable(d_tanh=derivative))
        told = f"The derivative of tanh(c_t) is {words}."
        yield _fault(f"gradient-slope-cell-{name}", told, _hidden(_cell_slope(derivative)))


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
                yield _fault(id, f"{part} = d_c_t · {name}.", _cell(index, _times(factor)))
    for name, factor in factors.items():
        if name != "tanh(c_t)":
            yield _fault(f"gradient-d-o-by-{ascii(name)}", f"d_o = d_m · {name}.", _hidden(d_o=_times(factor)))
        if name != "o":
            told = f"d_c_t gains d_m · {name} · tanh′(c_t)."
            yield _fault(f"gradient-d-c-gains-by-{ascii(name)}", told, _hidden(gain=_gaining(factor)))
    told = "d_c_t gains nothing from d_m."
    yield _fault("gradient-d-c-gains-nothing", told, _hidden(gain=lambda s, d_m: 0 * d_m))
    for index, gate in enumerate(PACKED):
        for name, words, factor in (("none", "zero", 0), ("negated", "negated", -1), ("twice", "doubled", 2)):
            told = f"The gradient of {gate}'s preactivation is {words}."
            yield _fault(f"gradient-of-{gate}-{name}", told, made("d_gates", _block(index, factor)))


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
        yield _fault(id, words, twin)


# The weights


def _step_of(change: Callable[[list[Step], int], Step]) -> Twin:
    """Shares of the weights' gradients with the x or h of other steps."""

    def d_sum(at: Place, w: Weights, steps: list[Step], d_a: Any, d_h: Any) -> Any:
        return w, [change(steps, t) for t in range(len(steps))], d_a, d_h

    return given("d_sum", d_sum)


def _other(field: str, by: int, cyclic: bool = False) -> Callable[[list[Step], int], Step]:
    def change(steps: list[Step], t: int) -> Step:
        inside = cyclic or 0 <= t + by < len(steps)
        value = getattr(steps[(t + by) % len(steps)], field)
        return steps[t]._replace(**{field: value if inside else 0 * value})

    return change


def _rows_of(change: Callable[[Array], Array]) -> Twin:
    """Shares of some rows only."""

    def d_weights(at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Any:
        return w, s, change(d_a), change(d_h)

    return given("d_weights", d_weights)


def _only(index: int) -> Callable[[Array], Array]:
    def change(v: Array) -> Array:
        kept = np.zeros_like(v)
        kept[index] = v[index]
        return kept

    return change


def _mean(names: Callable[[Place], int], per_row: bool) -> Twin:
    def change(at: Place, name: str, v: Array) -> Array:
        return v / v.dtype.type(names(at))

    if not per_row:
        return summed(change)

    def d_weights(twin: Differentiable, at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Gradients:
        shares = correct.d_weights(twin, at, w, s, d_a, d_h)
        return {name: v / v.dtype.type(len(d_a) * names(at)) for name, v in shares.items()}

    return Differentiable(d_weights=d_weights)


def _without(t: int) -> Any:
    """A step's shares are left out."""

    def d_weights(at: Place, shares: Gradients) -> Gradients:
        left_out = at.t == t % at.steps
        return {name: 0 * v if left_out else v for name, v in shares.items()}

    return made("d_weights", d_weights)


def _alone(t: int) -> Any:
    """A step's shares are all there is."""

    def d_weights(at: Place, shares: Gradients) -> Gradients:
        kept = at.t == t % at.steps
        return {name: v if kept else 0 * v for name, v in shares.items()}

    return made("d_weights", d_weights)


def _projected(name: str) -> Callable[..., Gradients]:
    def d_weights(twin: Differentiable, at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Gradients:
        value = np.tanh(s.c_t) if name == "tanh(c_t)" else getattr(s, name)
        return correct.d_weights(twin, at, w, s._replace(m=value), d_a, d_h)

    return d_weights


def _of_blocks(at: Place, name: str, v: Array) -> Array:
    """Each gate's square block transposed, and a square projection."""
    H = len(v) // 4
    if v.ndim == 2 and v.shape[1] == H:
        return v.reshape(4, H, H).swapaxes(1, 2).reshape(v.shape)
    return v.T if v.ndim == 2 and v.shape[0] == v.shape[1] else v


def _memory_turned(at: Place, name: str, v: Array) -> Array:
    return np.ascontiguousarray(v.T).reshape(v.shape)


def _interleaved(at: Place, name: str, v: Array) -> Array:
    """Rows by unit, then by gate."""
    if name == "weight_hr":
        return v
    return v.reshape(4, -1, *v.shape[1:]).swapaxes(0, 1).reshape(v.shape)


def _weights() -> Iterator[Fault]:
    changes: dict[str, tuple[str, Twin]] = {
        "gradient-weights-without-first-step": ("The weights' gradients lack the first step.", _without(0)),
        "gradient-weights-without-last-step": ("The weights' gradients lack the last step.", _without(-1)),
        "gradient-weights-of-first-step-alone": ("The weights' gradients are the first step's.", _alone(0)),
        "gradient-weights-of-last-step-alone": ("The weights' gradients are the last step's.", _alone(-1)),
        "gradient-weights-of-first-row-alone": ("The weights' gradients are the first row's.", _rows_of(_only(0))),
        "gradient-weights-of-last-row-alone": ("The weights' gradients are the last row's.", _rows_of(_only(-1))),
        "gradient-averaged-over-rows-and-steps": (
            "The weights' gradients are divided by N·L.",
            _mean(lambda at: at.steps, True),
        ),
        "gradient-recurrent-weights-from-h-two-back": (
            "W_hh's gradient has h_{t−2} for h_{t−1}.",
            _step_of(_other("h", -1)),
        ),
        "gradient-recurrent-weights-from-other-end": (
            "W_hh's gradient pairs the steps with h in the contrary order.",
            _step_of(lambda steps, t: steps[t]._replace(h=steps[-1 - t].h)),
        ),
        "gradient-input-weights-from-other-end": (
            "W_ih's gradient pairs the steps with x in the contrary order.",
            _step_of(lambda steps, t: steps[t]._replace(x=steps[-1 - t].x)),
        ),
        "gradient-input-weights-from-x-before": (
            "W_ih's gradient has x_{t−1} for x_t.",
            _step_of(_other("x", -1)),
        ),
        "gradient-input-weights-from-x-after": ("W_ih's gradient has x_{t+1} for x_t.", _step_of(_other("x", 1))),
        "gradient-projection-weights-from-c": (
            "W_hr's gradient is made from c_t.",
            Differentiable(d_weights=_projected("c_t")),
        ),
        "gradient-projection-weights-from-o": (
            "W_hr's gradient is made from o alone.",
            Differentiable(d_weights=_projected("o")),
        ),
        "gradient-weights-transposed-in-blocks": (
            "The weights' gradients are transposed where they are square.",
            summed(_of_blocks, "weight"),
        ),
        "gradient-weights-memory-turned": (
            "The memory of the weights' transposed gradients is read as theirs.",
            summed(_memory_turned, "weight"),
        ),
        "gradient-weights-by-unit": ("The weights' gradients are packed by unit, then by gate.", summed(_interleaved)),
        "gradient-biases-twice": (
            "b_ih and b_hh get twice their gradient each.",
            summed(lambda at, name, v: 2 * v, "bias"),
        ),
        "gradient-input-bias-none": ("b_ih gets no gradient.", summed(lambda at, name, v: 0 * v, "bias_ih")),
        "gradient-biases-none": ("The biases get no gradient.", summed(lambda at, name, v: 0 * v, "bias")),
    }
    for id, (words, twin) in changes.items():
        yield _fault(id, words, twin)


def _orders() -> Iterator[Fault]:
    for order in ORDERS:
        id = f"gradient-gate-order-{order}"
        if order not in (PACKED, "iofg"):
            words = f"The weights' gradients are packed {', '.join(order)}."
            yield _fault(id, words, summed(_reordered(order)))


def _copied_rows() -> Iterator[Fault]:
    """The parameters' gradients in the rows of some gates are those of another."""
    for source in PACKED:
        rest = [gate for gate in PACKED if gate != source]
        for chosen in (several for count in (1, 2, 3) for several in combinations(rest, count)):
            words = f"The parameters' gradients of {' and '.join(chosen)} are those of {source}."
            yield _fault(f"gradient-rows-of-{source}-for-{''.join(chosen)}", words, summed(_copied(source, chosen)))


def _copied(source: str, chosen: tuple[str, ...]) -> Callable[[Place, str, Array], Array]:
    def change(at: Place, name: str, value: Array) -> Array:
        if name == "weight_hr":
            return value
        rows = value.reshape(4, -1, *value.shape[1:]).copy()
        rows[[PACKED.index(gate) for gate in chosen]] = rows[PACKED.index(source)]
        return rows.reshape(value.shape)

    return change


def _reordered(order: str) -> Callable[[Place, str, Array], Array]:
    return lambda at, name, v: v if name == "weight_hr" else reorder(v, order)


# What is done to one gradient: only in such a scope is it simple


def _all(change: Callable[[LSTMConfig, int, int, Array], Array]) -> Twin:
    """Every gradient, from the config, L, N and itself."""

    def changed(config: LSTMConfig, grads: Gradients) -> Gradients:
        L, N = grads["x"].shape[:2]
        return {name: change(config, L, N, value).astype(value.dtype) for name, value in grads.items()}

    return made("d_stack", changed)


_SCALED: dict[str, tuple[str, Twin]] = {
    "gradients-none": ("Gradients are zero.", _all(lambda config, L, N, v: 0 * v)),
    "gradients-negated": ("Gradients are negated.", _all(lambda config, L, N, v: -v)),
    "gradients-doubled": ("Gradients are doubled.", _all(lambda config, L, N, v: 2 * v)),
    "gradients-halved": ("Gradients are halved.", _all(lambda config, L, N, v: v / 2)),
    "gradients-divided-by-n": ("Gradients are divided by N.", _all(lambda config, L, N, v: v / N)),
    "gradients-divided-by-l": ("Gradients are divided by L.", _all(lambda config, L, N, v: v / L)),
    "gradients-divided-by-n-l": ("Gradients are divided by N·L.", _all(lambda config, L, N, v: v / (N * L))),
    "gradients-times-n": ("Gradients are multiplied by N.", _all(lambda config, L, N, v: v * N)),
    "gradients-times-l": ("Gradients are multiplied by L.", _all(lambda config, L, N, v: v * L)),
    "gradients-clipped-at-1": ("Gradients are clipped to ±1.", _all(lambda config, L, N, v: np.clip(v, -1, 1))),
    "gradients-clipped-at-5": ("Gradients are clipped to ±5.", _all(lambda config, L, N, v: np.clip(v, -5, 5))),
}

#: The ids of those that mean something in a scope before they do everywhere.
SCOPED_FIRST = tuple(_SCALED)
