"""The LSTM in float64, equation by equation: the one reference that decides.

Hochreiter & Schmidhuber, "Long Short-Term Memory" (1997), with the forget gate of Gers, Schmidhuber & Cummins (2000)
and the projection of Sak, Senior & Beaufays (2014), as ``torch.nn.LSTM`` documents it. For each step t::

    i_t = σ(W_ii x_t + b_ii + W_hi h_{t−1} + b_hi)
    f_t = σ(W_if x_t + b_if + W_hf h_{t−1} + b_hf)
    g_t = tanh(W_ig x_t + b_ig + W_hg h_{t−1} + b_hg)
    o_t = σ(W_io x_t + b_io + W_ho h_{t−1} + b_ho)
    c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t),  and with a projection  h_t = W_hr (o_t ⊙ tanh(c_t))

A layer reads the output of the layer below, both directions' features side by side; the reverse direction reads each
row from its last valid step to its first. Past a row's length the output is 0 and the state stays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from conformance.spec import Array, LSTMConfig, Params, Slot, State, layer_params, state_shapes


class Tape(NamedTuple):
    """The values that one layer and direction computed, in the order it reads the steps; garbage past a row's length.

    x (L, N, I), h_before (L, N, P) for h_{t−1}, and (L, N, H) for the rest: the gates, c_{t−1}, tanh(c_t) and
    m = o ⊙ tanh(c_t).
    """

    x: Array
    h_before: Array
    i: Array
    f: Array
    g: Array
    o: Array
    c_before: Array
    tanh_c: Array
    m: Array


def lstm(
    config: LSTMConfig, params: Params, x: Array, state: State | None = None, lengths: Array | None = None
) -> tuple[Array, State]:
    """``output, (h_n, c_n)`` in float64, laid out as ``torch.nn.LSTM`` lays them out.

    x (L, N, I), or (N, L, I) if ``config.batch_first``, or (L, I); state (h_0 (layers·D, N, P), c_0 (layers·D, N, H)),
    without N when x is unbatched; lengths (N,) with 1 ≤ length ≤ L.
    """
    x, state, row_lengths, unbatched = enter(config, x, state, lengths)
    output, h_n, c_n, _ = run(config, params, x, state, row_lengths)
    return leave(config, output, unbatched), (h_n[:, 0], c_n[:, 0]) if unbatched else (h_n, c_n)


def enter(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> tuple[Array, State, Array, bool]:
    """x, state and lengths in float64 and canonical layout, defaults filled in; and whether x was unbatched."""
    x = np.asarray(x, np.float64)
    unbatched = x.ndim == 2
    if unbatched:
        x = x[:, None]
    elif config.batch_first:
        x = x.swapaxes(0, 1)
    steps, batch, _ = x.shape
    h_shape, c_shape = state_shapes(config, batch)
    h_0, c_0 = (np.zeros(h_shape), np.zeros(c_shape)) if state is None else state
    h_0 = np.asarray(h_0, np.float64).reshape(h_shape)
    c_0 = np.asarray(c_0, np.float64).reshape(c_shape)
    return x, (h_0, c_0), np.full(batch, steps) if lengths is None else np.asarray(lengths), unbatched


def leave(config: LSTMConfig, sequence: Array, unbatched: bool) -> Array:
    """A canonical sequence (L, N, features) in the layout of the call's x."""
    if unbatched:
        return sequence[:, 0]
    return sequence.swapaxes(0, 1) if config.batch_first else sequence


def run(
    config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array
) -> tuple[Array, Array, Array, dict[Slot, Tape]]:
    """Canonical output, h_n, c_n, and the tape of each layer and direction."""
    h_0, c_0 = state
    h_n, c_n, tapes = np.empty(h_0.shape), np.empty(c_0.shape), {}
    below = x
    for layer in range(config.num_layers):
        halves = []
        for slot in config.slots(layer):
            p, at = weights(params, slot), slot.position(config)
            half, h_n[at], c_n[at], tapes[slot] = _layer(p, below, h_0[at], c_0[at], lengths, slot.reverse)
            halves.append(half)
        below = np.concatenate(halves, axis=2)
    return below, h_n, c_n, tapes


def weights(params: Params, slot: Slot) -> dict[str, Array]:
    """One layer and direction's parameters in float64, by their names without the suffix."""
    return {name: np.asarray(value, np.float64) for name, value in layer_params(params, slot).items()}


def sigmoid(a: Array) -> Array:
    """σ(a) = 1 / (1 + e^−a), without overflow at either end."""
    small = np.exp(-np.abs(a))
    return np.where(a >= 0, 1.0, small) / (1.0 + small)


def valid_steps(steps: int, lengths: Array) -> Array:
    """Whether each step is within its row's length, (L, N, 1): a mask that stands beside features."""
    return (np.arange(steps)[:, None] < lengths)[..., None]


def time_order(values: Array, lengths: Array, reverse: bool) -> Array:
    """``values`` (L, N, …) in the order a direction reads them, and back: valid steps reversed if ``reverse``."""
    if not reverse:
        return values
    steps = np.arange(len(values))[:, None]
    index = np.where(steps < lengths, lengths - 1 - steps, steps)
    return np.take_along_axis(values, index[..., None], axis=0)


def _layer(
    p: dict[str, Array], x: Array, h: Array, c: Array, lengths: Array, reverse: bool
) -> tuple[Array, Array, Array, Tape]:
    """One layer and direction: x (L, N, I), h (N, P), c (N, H) -> output (L, N, P), h_n (N, P), c_n (N, H), tape."""
    x, valid = time_order(x, lengths, reverse), valid_steps(len(x), lengths)
    output = np.zeros((*x.shape[:2], h.shape[1]))
    tape, H = [], c.shape[1]
    for t, x_t in enumerate(x):
        a = x_t @ p["weight_ih"].T + h @ p["weight_hh"].T
        if "bias_ih" in p:
            a = a + p["bias_ih"] + p["bias_hh"]
        i = sigmoid(a[:, :H])
        f = sigmoid(a[:, H : 2 * H])
        g = np.tanh(a[:, 2 * H : 3 * H])
        o = sigmoid(a[:, 3 * H :])
        c_next = f * c + i * g
        tanh_c = np.tanh(c_next)
        m = h_next = o * tanh_c
        if "weight_hr" in p:
            h_next = m @ p["weight_hr"].T
        output[t] = np.where(valid[t], h_next, 0.0)
        tape.append((x_t, h, i, f, g, o, c, tanh_c, m))
        h, c = np.where(valid[t], h_next, h), np.where(valid[t], c_next, c)
    return time_order(output, lengths, reverse), h, c, Tape(*map(np.stack, zip(*tape, strict=True)))
