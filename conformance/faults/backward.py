"""The correct LSTM's gradient by hand: back-propagation through time, in pieces that can be exchanged one at a time.

For each piece of the forward pass there is one of the backward pass, named ``d_…``: it takes the gradients of what that
piece made, and returns those of what it was made from. ``d_v`` is the gradient of v; inside a call all is canonical.
For each step t, from the last to the first::

    d_m = W_hrᵀ d_h_t, or d_h_t itself
    d_o = d_m ⊙ tanh(c_t)
    d_c_t = d_c_t + d_m ⊙ o ⊙ (1 − tanh²(c_t))
    d_i, d_f, d_g, d_c_{t−1} = d_c_t ⊙ g, d_c_t ⊙ c_{t−1}, d_c_t ⊙ i, d_c_t ⊙ f
    d_a = d_i ⊙ i (1 − i), d_f ⊙ f (1 − f), d_g ⊙ (1 − g²), d_o ⊙ o (1 − o)
    d_x_t, d_h_{t−1} = W_ihᵀ d_a, W_hhᵀ d_a
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from conformance.conventions import Whole
from conformance.faults.twin import Forward, Gates, Place, Twin, Weights, by_gate
from conformance.spec import Array, LSTMConfig, Params, Slot, State

Gradients = dict[str, Array]
Vjp = Callable[..., tuple[tuple[Array, State], Gradients]]


class Step(NamedTuple):
    """A step's inputs, x_t (N, I), h_{t−1} (N, P) and c_{t−1} (N, H), and the values that it made of them."""

    x: Array
    h: Array
    c: Array
    #: The preactivations (N, 4H).
    a: Array
    i: Array
    f: Array
    g: Array
    o: Array
    c_t: Array
    #: o ⊙ tanh(c_t) (N, H), which is h_t if nothing projects it.
    m: Array
    h_t: Array


class Adjoint(NamedTuple):
    """The gradients of what a step read, and of its preactivations a (N, 4H)."""

    a: Array
    x: Array
    h: Array
    c: Array


class Sweep(NamedTuple):
    """The gradients of a layer and direction: x (L, N, I), h_0 (N, P), c_0 (N, H), the weights without the suffix."""

    x: Array
    h_0: Array
    c_0: Array
    weights: Gradients


# The pass that is differentiated


def record_step(twin: Differentiable, at: Place, w: Weights, x_t: Array, h: Array, c: Array) -> Step:
    """A step with all that the backward pass needs of it."""
    a = twin.preactivations(twin, at, w, x_t, h)
    i, f, g, o = twin.gates(twin, at, w, a)
    c_t = twin.cell(twin, at, i, f, g, c)
    m = twin.hidden(twin, at, o, c_t)
    return Step(x_t, h, c, a, i, f, g, o, c_t, m, twin.project(twin, at, w, m))


def record_layer(
    twin: Differentiable, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array, list[Step]]:
    """``layer`` with its steps in reading order."""
    outputs, steps = [], []
    for t, x_t in enumerate(twin.flip(twin, at, x, lengths)):
        now = at._replace(t=t)
        on = twin.updates(twin, now, lengths)
        # Zeros in place of the padding: the gradient of what is masked is 0 times it, which may be NaN.
        step = twin.record_step(twin, now, w, np.where(on, x_t, np.zeros_like(x_t)), h, c)
        h, c = np.where(on, step.h_t, h), np.where(on, step.c_t, c)
        outputs.append(np.where(twin.shows(twin, now, lengths), step.h_t, np.zeros_like(h)))
        steps.append(step)
    return twin.unflip(twin, at, np.stack(outputs), lengths), h, c, steps


def record_stack(
    twin: Differentiable, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array
) -> tuple[Whole, list[list[Step]], list[Array]]:
    """``stack`` with the steps of every layer and direction, and what dropout multiplied each layer's output by."""
    sequence, h_n, c_n, tapes, masks = x, [], [], [], []
    for k in range(config.num_layers):
        halves = []
        for direction in range(config.num_directions):
            at = Place(config, k, direction, len(x))
            below = twin.feed(twin, at, sequence)
            half, h, c, steps = twin.record_layer(
                twin, at, twin.weights(twin, at, params), below, *twin.start(twin, at, state), lengths
            )
            halves.append(half)
            h_n.append(h)
            c_n.append(c)
            tapes.append(steps)
        at = Place(config, k, 0, len(x))
        sequence = twin.join(twin, at, halves, sequence)
        if not at.last:
            masks.append(twin.drop(twin, at, np.ones_like(sequence)))
            sequence = sequence * masks[k]
    return Whole(sequence, np.stack(h_n), np.stack(c_n)), tapes, masks


# One step back


def d_sigmoid(a: Array, s: Array) -> Array:
    """σ′(a) = s (1 − s) for s = σ(a)."""
    return s * (1 - s)


def d_tanh(a: Array, y: Array) -> Array:
    """tanh′(a) = 1 − y² for y = tanh(a)."""
    return 1 - y * y


def d_project(twin: Differentiable, at: Place, w: Weights, d_h: Array) -> Array:
    """d_m (N, H)."""
    return twin.dot(d_h, w["weight_hr"].T) if "weight_hr" in w else d_h


def d_hidden(twin: Differentiable, at: Place, s: Step, d_m: Array) -> tuple[Array, Array]:
    """d_o and what d_c_t gains, (N, H) each."""
    y = twin.tanh(s.c_t)
    return d_m * y, d_m * s.o * twin.d_tanh(s.c_t, y)


def d_cell(twin: Differentiable, at: Place, s: Step, d_c: Array) -> Gates:
    """d_i, d_f, d_g, d_c_{t−1}, (N, H) each."""
    return d_c * s.g, d_c * s.c, d_c * s.i, d_c * s.f


def d_gates(twin: Differentiable, at: Place, s: Step, d_values: Gates) -> Array:
    """d_a (N, 4H) from d_i, d_f, d_g, d_o."""
    values, slopes = (s.i, s.f, s.g, s.o), (twin.d_sigmoid, twin.d_sigmoid, twin.d_tanh, twin.d_sigmoid)
    parts = zip(d_values, slopes, by_gate(s.a), values, strict=True)
    return np.concatenate([d_value * slope(a, value) for d_value, slope, a, value in parts], axis=1)


def d_preactivations(twin: Differentiable, at: Place, w: Weights, d_a: Array) -> tuple[Array, Array]:
    """d_x_t (N, I) and d_h_{t−1} (N, P)."""
    return twin.dot(d_a, w["weight_ih"].T), twin.dot(d_a, w["weight_hh"].T)


def d_step(twin: Differentiable, at: Place, w: Weights, s: Step, d_h: Array, d_c: Array) -> Adjoint:
    """From d_h_t (N, P) and d_c_t (N, H), those of the step before."""
    d_o, gain = twin.d_hidden(twin, at, s, twin.d_project(twin, at, w, d_h))
    d_i, d_f, d_g, d_c_before = twin.d_cell(twin, at, s, d_c + gain)
    d_a = twin.d_gates(twin, at, s, (d_i, d_f, d_g, d_o))
    d_x, d_h_before = twin.d_preactivations(twin, at, w, d_a)
    return Adjoint(d_a, d_x, d_h_before, d_c_before)


def d_weights(twin: Differentiable, at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Gradients:
    """One step's share in the gradients of the weights: products summed over the rows."""
    shares = {"weight_ih": twin.dot(d_a.T, s.x.T), "weight_hh": twin.dot(d_a.T, s.h.T)}
    if "bias_ih" in w:
        # As a product, which in 16 bits is summed in float32.
        d_b = twin.dot(d_a.T, np.ones_like(d_a[:, :1]).T)[:, 0]
        shares |= {"bias_ih": d_b, "bias_hh": d_b}
    if "weight_hr" in w:
        shares["weight_hr"] = twin.dot(d_h.T, s.m.T)
    return shares


# One layer and direction back


def d_sum(
    twin: Differentiable, at: Place, w: Weights, steps: Sequence[Step], d_a: Sequence[Array], d_h: Sequence[Array]
) -> Gradients:
    """The gradients of the weights, summed from the last step to the first."""
    total = {name: np.zeros_like(value) for name, value in w.items()}
    for t in reversed(range(len(steps))):
        for name, share in twin.d_weights(twin, at._replace(t=t), w, steps[t], d_a[t], d_h[t]).items():
            total[name] = total[name] + share
    return total


def d_hold(twin: Differentiable, at: Place, on: Array, step: Array, later: Array) -> Array:
    """The gradient of a row's state: the step's where it has one, else what came from later."""
    return np.where(on, step, later)


def d_layer(
    twin: Differentiable,
    at: Place,
    w: Weights,
    steps: list[Step],
    lengths: Array,
    d_output: Array,
    d_h: Array,
    d_c: Array,
) -> Sweep:
    """From d_output (L, N, P), d_h_n (N, P) and d_c_n (N, H)."""
    d_outputs = twin.d_unflip(twin, at, d_output, lengths)
    d_a, d_x, d_hs = [], [], []
    for t in reversed(range(len(steps))):
        now = at._replace(t=t)
        on, shown = twin.updates(twin, now, lengths), twin.shows(twin, now, lengths)
        d_h_t = np.where(shown, d_outputs[t], np.zeros_like(d_h)) + np.where(on, d_h, np.zeros_like(d_h))
        before = twin.d_step(twin, now, w, steps[t], d_h_t, np.where(on, d_c, np.zeros_like(d_c)))
        d_h, d_c = twin.d_hold(twin, now, on, before.h, d_h), twin.d_hold(twin, now, on, before.c, d_c)
        d_a.insert(0, before.a)
        d_x.insert(0, before.x)
        d_hs.insert(0, d_h_t)
    return Sweep(twin.d_flip(twin, at, np.stack(d_x), lengths), d_h, d_c, twin.d_sum(twin, at, w, steps, d_a, d_hs))


# The stack back


def d_join(twin: Differentiable, at: Place, d_sequence: Array) -> list[Array]:
    """The gradients of the directions' outputs (L, N, P)."""
    return np.split(d_sequence, at.config.num_directions, axis=2)


def d_feed(twin: Differentiable, at: Place, d_halves: list[Array]) -> Array:
    """The gradient of what all directions read (L, N, features)."""
    return sum(d_halves[1:], d_halves[0])


def d_drop(twin: Differentiable, at: Place, mask: Array, d_sequence: Array) -> Array:
    """The gradient of a lower layer's output, from that of what is left of it."""
    return d_sequence * mask


def d_stack(
    twin: Differentiable,
    config: LSTMConfig,
    params: Params,
    tapes: list[list[Step]],
    masks: list[Array],
    lengths: Array,
    d_result: Whole,
) -> Gradients:
    """The gradients of x (L, N, I), h_0 (layers·D, N, P), c_0 (layers·D, N, H) and of every parameter by its name."""
    d_sequence, d_h_0, d_c_0 = d_result.output, np.empty_like(d_result.h_n), np.empty_like(d_result.c_n)
    d_params = {}
    for k in reversed(range(config.num_layers)):
        d_halves = []
        d_outputs = twin.d_join(twin, Place(config, k, 0, len(d_sequence)), d_sequence)
        for direction in range(config.num_directions):
            at = Place(config, k, direction, len(d_sequence))
            d_state = twin.start(twin, at, (d_result.h_n, d_result.c_n))
            w = twin.weights(twin, at, params)
            sweep = twin.d_layer(twin, at, w, tapes[at.slot], lengths, d_outputs[direction], *d_state)
            d_halves.append(sweep.x)
            d_h_0[at.slot], d_c_0[at.slot] = sweep.h_0, sweep.c_0
            d_params |= {name + Slot(k, direction).suffix: value for name, value in sweep.weights.items()}
        at = Place(config, k, 0, len(d_sequence))
        d_sequence = twin.d_feed(twin, at, d_halves)
        d_sequence = twin.d_drop(twin, at, masks[k - 1], d_sequence) if k else d_sequence
    return {"x": d_sequence, "h_0": d_h_0, "c_0": d_c_0, **d_params}


# The call


def d_leave(twin: Differentiable, config: LSTMConfig, d_result: Whole, unbatched: bool) -> Whole:
    """The gradients of a result in canonical layout."""
    d_output, d_h_n, d_c_n = d_result
    if unbatched:
        return Whole(d_output[:, None], d_h_n[:, None], d_c_n[:, None])
    return Whole(d_output.swapaxes(0, 1) if config.batch_first else d_output, d_h_n, d_c_n)


def d_enter(twin: Differentiable, config: LSTMConfig, grads: Gradients, unbatched: bool) -> Gradients:
    """The gradients of x and the state in the caller's layout, among the others."""
    if unbatched:
        return grads | {name: grads[name][:, 0] for name in ("x", "h_0", "c_0")}
    return grads | {"x": grads["x"].swapaxes(0, 1)} if config.batch_first else grads


def d_around(twin: Differentiable, config: LSTMConfig, params: Params, vjp: Vjp) -> Vjp:
    """The surroundings of a call."""
    return vjp


@dataclass(frozen=True)
class Differentiable(Twin):
    """The twin with a ``forward.vjp``; each of its pieces may be exchanged for another of the same signature.

    It differentiates the pieces that make a step, as ``record_step`` puts them together; a ``step``, ``layer`` or
    ``stack`` of one's own is not differentiated, nor a ``transform``.
    """

    record_step: Callable[[Differentiable, Place, Weights, Array, Array, Array], Step] = record_step
    record_layer: Callable[..., tuple[Array, Array, Array, list[Step]]] = record_layer
    record_stack: Callable[..., tuple[Whole, list[list[Step]], list[Array]]] = record_stack

    d_sigmoid: Callable[[Array, Array], Array] = d_sigmoid
    d_tanh: Callable[[Array, Array], Array] = d_tanh
    d_project: Callable[[Differentiable, Place, Weights, Array], Array] = d_project
    d_hidden: Callable[[Differentiable, Place, Step, Array], tuple[Array, Array]] = d_hidden
    d_cell: Callable[[Differentiable, Place, Step, Array], Gates] = d_cell
    d_gates: Callable[[Differentiable, Place, Step, Gates], Array] = d_gates
    d_preactivations: Callable[[Differentiable, Place, Weights, Array], tuple[Array, Array]] = d_preactivations
    d_step: Callable[[Differentiable, Place, Weights, Step, Array, Array], Adjoint] = d_step
    d_weights: Callable[[Differentiable, Place, Weights, Step, Array, Array], Gradients] = d_weights

    d_sum: Callable[..., Gradients] = d_sum
    d_hold: Callable[[Differentiable, Place, Array, Array, Array], Array] = d_hold
    d_flip: Callable[[Differentiable, Place, Array, Array], Array] = Twin.flip
    d_unflip: Callable[[Differentiable, Place, Array, Array], Array] = Twin.unflip
    d_layer: Callable[..., Sweep] = d_layer

    d_join: Callable[[Differentiable, Place, Array], list[Array]] = d_join
    d_feed: Callable[[Differentiable, Place, list[Array]], Array] = d_feed
    d_drop: Callable[[Differentiable, Place, Array, Array], Array] = d_drop
    d_stack: Callable[..., Gradients] = d_stack

    d_leave: Callable[[Differentiable, LSTMConfig, Whole, bool], Whole] = d_leave
    d_enter: Callable[[Differentiable, LSTMConfig, Gradients, bool], Gradients] = d_enter
    d_around: Callable[[Differentiable, LSTMConfig, Params, Vjp], Vjp] = d_around

    def build(self, config: LSTMConfig, params: Params) -> Forward:
        """The backend's ``build``, of a ``forward`` that has a ``vjp``."""
        forward: Any = super().build(config, params)
        kept = self.pack(self, config, params)

        def vjp(
            x: Array, state: State | None, lengths: Array | None, grad_output: Array, grad_h_n: Array, grad_c_n: Array
        ) -> tuple[tuple[Array, State], Gradients]:
            with np.errstate(all="ignore"):
                x, state, lengths = self.accept(self, config, x, state, lengths)
                unbatched, cotangents = x.ndim == 2, (grad_output, grad_h_n, grad_c_n)
                packed, sequence, state, rows = self.entered(config, kept, x, state, lengths)
                result, tapes, masks = self.record_stack(self, config, packed, sequence, state, rows)
                output, (h_n, c_n) = returned = self.left(config, result, unbatched)
                for name, given, part in zip(Whole._fields, cotangents, (output, h_n, c_n), strict=True):
                    if given.shape != part.shape or given.dtype != part.dtype:
                        wanted = f"{part.dtype} {part.shape}"
                        raise ValueError(f"grad_{name} must be {wanted}, got {given.dtype} {given.shape}")
                d_result = self.d_leave(self, config, Whole(*cotangents), unbatched)
                d_result = Whole(*(part.astype(sequence.dtype) for part in d_result))
                grads = self.d_stack(self, config, packed, tapes, masks, rows, d_result)
                grads = self.d_enter(self, config, grads, unbatched)
                return returned, {name: value.astype(config.dtype) for name, value in grads.items()}

        forward.vjp = self.d_around(self, config, params, vjp)
        return forward
