"""What a layer and direction receives from above, its slots of the states, what it hands below, and the padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.faults import backward as correct
from conformance.faults.alter import given, made
from conformance.faults.backward import Adjoint, Differentiable, Gradients, Step, Sweep
from conformance.faults.fault import Fault
from conformance.faults.gradients import fault
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import Array, LSTMConfig


def families() -> Iterator[Fault]:
    """All of them, those of one layer before those of several."""
    for id, (words, twin) in {**_RECEIVED, **_STATES, **_STACKS, **_PADDING}.items():
        yield fault(id, words, "", "always", twin)


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
