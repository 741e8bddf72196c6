"""The gradient of the LSTM: back-propagation through time in float64, equation by equation.

∂v stands for the gradient of the loss by v, ∂a_t for that by the packed preactivations of step t. With the equations of
``reference/forward.py``, from each row's last valid step to its first::

    ∂h_t = ∂output_t + W_hhᵀ ∂a_{t+1},  at the last step  ∂output_t + ∂h_n
    ∂m_t = ∂h_t,  and with a projection  ∂m_t = W_hrᵀ ∂h_t,  where m_t = o_t ⊙ tanh(c_t)
    ∂c_t = ∂m_t ⊙ o_t ⊙ (1 − tanh²(c_t)) + f_{t+1} ⊙ ∂c_{t+1},  at the last step  … + ∂c_n
    ∂a_t = (∂c_t ⊙ g_t ⊙ i_t(1 − i_t),  ∂c_t ⊙ c_{t−1} ⊙ f_t(1 − f_t),  ∂c_t ⊙ i_t ⊙ (1 − g_t²),
            ∂m_t ⊙ tanh(c_t) ⊙ o_t(1 − o_t))
    ∂x_t = W_ihᵀ ∂a_t,  ∂h_0 = W_hhᵀ ∂a_1,  ∂c_0 = f_1 ⊙ ∂c_1
    ∂W_ih = Σ ∂a_t x_tᵀ,  ∂W_hh = Σ ∂a_t h_{t−1}ᵀ,  ∂b_ih = ∂b_hh = Σ ∂a_t,  ∂W_hr = Σ ∂h_t m_tᵀ

with sums over steps and rows. A layer's ∂x, both directions' added up, is the ∂output of the layer below.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from conformance.reference.forward import Tape, enter, leave, run, time_order, valid_steps, weights
from conformance.spec import Array, LSTMConfig, Params, State

#: What a vjp returns beside the results: a gradient for "x", "h_0", "c_0" and each parameter by its name.
Gradients = dict[str, Array]


class Slopes(NamedTuple):
    """The activations' derivatives, (L, N, H) each: σ′ of i, f and o, tanh′ of g and of c_t."""

    i: Array
    f: Array
    g: Array
    o: Array
    c: Array


class LayerGradients(NamedTuple):
    """One layer and direction, in the order it reads the steps; zeros past a row's length.

    a (L, N, 4H), h (L, N, P), m and c (L, N, H) with ∂c_t before it meets f_t; x (L, N, I), h_0 (N, P), c_0 (N, H);
    params by their names without the suffix.
    """

    a: Array
    h: Array
    m: Array
    c: Array
    x: Array
    h_0: Array
    c_0: Array
    params: Gradients


def vjp(
    config: LSTMConfig,
    params: Params,
    x: Array,
    state: State | None,
    lengths: Array | None,
    grad_output: Array,
    grad_h_n: Array,
    grad_c_n: Array,
) -> tuple[tuple[Array, State], Gradients]:
    """``((output, (h_n, c_n)), grads)`` in float64; each gradient is shaped like what it is the gradient of.

    The first arguments are those of ``forward.lstm``, the cotangents are shaped like its results.
    """
    x, state, row_lengths, unbatched = enter(config, x, state, lengths)
    sequence, finals, _, _ = enter(config, grad_output, (grad_h_n, grad_c_n), None)
    output, h_n, c_n, tapes = run(config, params, x, state, row_lengths)

    (grad_h_n, grad_c_n), grad_h_0, grad_c_0 = finals, np.empty(state[0].shape), np.empty(state[1].shape)
    grads: Gradients = {}
    valid = valid_steps(len(x), row_lengths)
    for layer in reversed(range(config.num_layers)):
        below = np.zeros((*x.shape[:2], config.layer_input_size(layer)))
        for slot in config.slots(layer):
            p, tape, at = weights(params, slot), tapes[slot], slot.position(config)
            half = time_order(sequence[..., slot.features(config)], row_lengths, slot.reverse)
            own = layer_vjp(p, tape, slopes(tape), valid, half, grad_h_n[at], grad_c_n[at])
            below += time_order(own.x, row_lengths, slot.reverse)
            grad_h_0[at], grad_c_0[at] = own.h_0, own.c_0
            grads |= {name + slot.suffix: value for name, value in own.params.items()}
        sequence = below

    if unbatched:
        h_n, c_n, grad_h_0, grad_c_0 = (part[:, 0] for part in (h_n, c_n, grad_h_0, grad_c_0))
    first = {"x": leave(config, sequence, unbatched), "h_0": grad_h_0, "c_0": grad_c_0}
    return (leave(config, output, unbatched), (h_n, c_n)), first | {name: grads[name] for name in params}


def slopes(tape: Tape) -> Slopes:
    """The derivatives, from the activations' values."""
    i, f, g, o = tape.i, tape.f, tape.g, tape.o
    return Slopes(i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o), 1 - tape.tanh_c * tape.tanh_c)


def layer_vjp(
    p: dict[str, Array], tape: Tape, slope: Slopes, valid: Array, grad_output: Array, grad_h: Array, grad_c: Array
) -> LayerGradients:
    """One layer and direction from grad_output (L, N, P), ∂h_n (N, P) and ∂c_n (N, H); ``valid`` (L, N, 1).

    It only adds and multiplies. So, given the magnitudes of all arguments, it sums the magnitudes of all terms.
    """
    steps = len(valid)
    from_above = np.where(valid, grad_output, 0.0) + np.where(last_steps(valid), grad_h, 0.0)
    grad_a = np.zeros((steps + 1, len(grad_c), len(p["weight_hh"])))
    grads_h, grads_m, grads_c = [], [], []
    for t in reversed(range(steps)):
        on = valid[t]
        h = from_above[t] + grad_a[t + 1] @ p["weight_hh"]
        m = h @ p["weight_hr"] if "weight_hr" in p else h
        c = m * tape.o[t] * slope.c[t] + grad_c
        a_i = c * tape.g[t] * slope.i[t]
        a_f = c * tape.c_before[t] * slope.f[t]
        a_g = c * tape.i[t] * slope.g[t]
        a_o = m * tape.tanh_c[t] * slope.o[t]
        grad_a[t] = np.where(on, np.concatenate([a_i, a_f, a_g, a_o], axis=1), 0.0)
        grad_c = np.where(on, tape.f[t] * c, grad_c)
        for kept, value in ((grads_h, h), (grads_m, m), (grads_c, c)):
            kept.append(np.where(on, value, 0.0))
    h, m, c = (np.stack(kept[::-1]) for kept in (grads_h, grads_m, grads_c))
    a = grad_a[:-1]
    grads = {"weight_ih": outer(a, tape.x), "weight_hh": outer(a, tape.h_before)}
    if "bias_ih" in p:
        grads |= {"bias_ih": a.sum((0, 1)), "bias_hh": a.sum((0, 1))}
    if "weight_hr" in p:
        grads["weight_hr"] = outer(h, tape.m)
    return LayerGradients(a, h, m, c, a @ p["weight_ih"], a[0] @ p["weight_hh"], grad_c, grads)


def last_steps(valid: Array) -> Array:
    """Whether each step is its row's last valid one, in the order in which a direction reads them; like ``valid``."""
    return valid & ~np.concatenate([valid[1:], np.zeros_like(valid[:1])])


def outer(a: Array, b: Array) -> Array:
    """Σ a bᵀ over steps and rows: a (L, N, m), b (L, N, n) -> (m, n)."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])
