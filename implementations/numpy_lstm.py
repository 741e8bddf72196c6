"""The LSTM in plain NumPy: one product per time step, of [x, h] with both weights stacked and transposed beforehand.

Its gradient is back-propagation through time: for each step t, from the last to the first::

    d_m = W_hrᵀ d_h_t, or d_h_t itself
    d_c_t = d_c_t + d_m ⊙ o ⊙ (1 − tanh²(c_t))
    d_a = (d_c_t ⊙ g ⊙ i (1 − i), d_c_t ⊙ c_{t−1} ⊙ f (1 − f), d_c_t ⊙ i ⊙ (1 − g²), d_m ⊙ tanh(c_t) ⊙ o (1 − o))
    d_x_t, d_h_{t−1} = W_ihᵀ d_a, W_hhᵀ d_a
    d_c_{t−1} = d_c_t ⊙ f
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend, guard
from conformance.spec import Array, Params, State

DTYPES = ("float32", "float64", "float16")


Parts = tuple[Array, Array, Array]


class Step(NamedTuple):
    """What a step read and made: read = [x_t, h_{t−1}] (N, I + P), c = c_{t−1} (N, H), m = o ⊙ tanh(c_t) (N, H)."""

    read: Array
    c: Array
    i: Array
    f: Array
    g: Array
    o: Array
    tanh_c: Array
    m: Array


class Cell(NamedTuple):
    """One layer and direction: weight (I + P, 4H), bias (4H,), projection (H, P) or None."""

    weight: Array
    bias: Array | float
    projection: Array | None

    @classmethod
    def of(cls, params: Params, end: str) -> Cell:
        """The cell whose parameters' names end in ``end``, such as "_l0_reverse"."""
        weight = np.concatenate([params["weight_ih" + end], params["weight_hh" + end]], axis=1).T
        bias = params["bias_ih" + end] + params["bias_hh" + end] if "bias_ih" + end in params else 0.0
        return cls(weight, bias, np.array(params["weight_hr" + end]).T if "weight_hr" + end in params else None)

    def scan(self, x: Array, h: Array, c: Array, valid: Array) -> tuple[Array, Array, Array, list[Step]]:
        """x (L, N, I), h (N, P), c (N, H), valid (L, N, 1) -> output (L, N, P), h_n (N, P), c_n (N, H), the steps.

        Where a step is not valid, the row keeps its state and its output is 0.
        """
        output, steps, H = np.zeros((len(x), *h.shape), h.dtype), [], c.shape[1]
        for t, x_t in enumerate(x):
            read = np.concatenate([x_t, h], axis=1)
            a = product(read, self.weight) + self.bias
            i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 3 * H :])
            g = np.tanh(a[:, 2 * H : 3 * H])
            c_t = f * c + i * g
            tanh_c = np.tanh(c_t)
            m = o * tanh_c
            h_t = m if self.projection is None else product(m, self.projection)
            steps.append(Step(read, c, i, f, g, o, tanh_c, m))
            c = np.where(valid[t], c_t, c)
            h = np.where(valid[t], h_t, h)
            output[t] = np.where(valid[t], h_t, 0)
        return output, h, c, steps

    def scan_back(
        self, steps: list[Step], valid: Array, d_output: Array, d_h: Array, d_c: Array
    ) -> tuple[Array, Array, Array, dict[str, Array]]:
        """The gradients of output (L, N, P), h_n (N, P), c_n (N, H) -> of x (L, N, I), h_0, c_0, the parameters."""
        features = len(self.weight) - d_h.shape[1]
        d_x, d_as, d_hs = np.empty((*d_output.shape[:2], features), d_output.dtype), [], []
        for t in reversed(range(len(steps))):
            _, c, i, f, g, o, tanh_c, _ = steps[t]
            d_h_t = np.where(valid[t], d_output[t] + d_h, 0)
            d_m = d_h_t if self.projection is None else product(d_h_t, self.projection.T)
            d_c_t = np.where(valid[t], d_c, 0) + d_m * o * (1 - tanh_c**2)
            d_i, d_f, d_g, d_o = d_c_t * g, d_c_t * c, d_c_t * i, d_m * tanh_c
            d_a = np.concatenate([d_i * i * (1 - i), d_f * f * (1 - f), d_g * (1 - g**2), d_o * o * (1 - o)], axis=1)
            d_read = product(d_a, self.weight.T)
            d_x[t], d_h = d_read[:, :features], np.where(valid[t], d_read[:, features:], d_h)
            d_c = np.where(valid[t], d_c_t * f, d_c)
            d_as.append(d_a)
            d_hs.append(d_h_t)
        # Over all steps and rows at once. A product of float16 is summed in float32, which a plain sum is not.
        reads, ms = (np.concatenate(parts[::-1]) for parts in ([s.read for s in steps], [s.m for s in steps]))
        d_a, d_h_t = np.concatenate(d_as), np.concatenate(d_hs)
        d_weight_ih, d_weight_hh = np.split(product(d_a.T, reads), [features], axis=1)
        d_bias = product(np.ones_like(d_a[:, 0]), d_a)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        found = (d_weight_ih, d_weight_hh, d_bias, d_bias, product(d_h_t.T, ms))
        return d_x, d_h, d_c, {name: np.array(d) for name, d in zip(names, found, strict=True)}


def product(a: Array, b: Array) -> Array:
    """a @ b. NumPy multiplies float16 in loops of its own, and sums in float32: float32 throughout is far faster."""
    return a @ b if a.dtype != np.float16 else (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float16)


def sigmoid(a: Array) -> Array:
    """1 / (1 + e^−a); no exponent is positive, so nothing overflows."""
    return np.exp(np.minimum(a, 0)) / (1 + np.exp(-np.abs(a)))


def inward(config: LSTMConfig, sequence: Array, h: Array, c: Array) -> Parts:
    """The caller's layout -> a sequence (L, N, features) and states (layers·D, N, ·)."""
    if sequence.ndim == 2:
        return sequence[:, None], h[:, None], c[:, None]
    return sequence.swapaxes(0, 1) if config.batch_first else sequence, h, c


def outward(config: LSTMConfig, sequence: Array, h: Array, c: Array, unbatched: bool) -> Parts:
    """A sequence (L, N, features) and states (layers·D, N, ·) -> the caller's layout."""
    if unbatched:
        return sequence[:, 0], h[:, 0], c[:, 0]
    return sequence.swapaxes(0, 1) if config.batch_first else sequence, h, c


def dropout_mask(y: Array, p: float, chance: np.random.Generator) -> Array:
    """What each element of y is multiplied by: with probability p 0, else 1/(1 − p)."""
    return np.divide(np.ones_like(y), 1 - p, out=np.zeros_like(y), where=chance.random(y.shape) >= p)


@backend(
    "numpy",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        unbatched=True,
        projection=True,
        lengths=True,
        gradients=True,
        dropout=True,
        dtypes=DTYPES,
    ),
)
def numpy_lstm(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state, lengths)`` and ``forward.vjp`` in the config's own precision."""
    if config.dtype not in DTYPES:
        raise Unsupported(f"dtype {config.dtype}")
    ends = ("", "_reverse") if config.bidirectional else ("",)
    chance = np.random.default_rng()
    layers: list[list[Cell]] = []
    training = config.training

    def train(mode: bool) -> None:
        """``forward.train``."""
        nonlocal training
        training = mode

    def load(params: Params) -> None:
        """``forward.load``; the first weights come this way too."""
        layers[:] = [[Cell.of(params, f"_l{layer}{end}") for end in ends] for layer in range(config.num_layers)]

    load(params)

    def accept(x: Array, state: State | None, lengths: Array | None) -> tuple[Array, Array, Array, Array]:
        """x, h_0 and c_0 in the caller's layout, zeros where none are given, and lengths (N,); or ``ValueError``."""
        guard(config, x, state, lengths)
        steps, *rows = x.shape[1::-1] if config.batch_first and x.ndim == 3 else x.shape[:-1]
        h_shape = (len(layers) * len(ends), *rows, config.output_size)
        c_shape = (len(layers) * len(ends), *rows, config.hidden_size)
        h_0, c_0 = (np.zeros(h_shape, x.dtype), np.zeros(c_shape, x.dtype)) if state is None else state
        return x, h_0, c_0, np.full(rows or 1, steps) if lengths is None else lengths

    def times(steps: int, lengths: Array) -> tuple[Array, tuple[Array, ...], Array]:
        """Which steps are valid (L, N, 1); for each direction the order (L, N) in which it reads them; the rows."""
        t, row = np.ogrid[:steps, : len(lengths)]
        # In reverse, each row's valid steps change places and its padding stays: the same order leads back.
        return (t < lengths)[..., None], (t, np.where(t < lengths, lengths - 1 - t, t)), row

    def scan(x: Array, h_0: Array, c_0: Array, lengths: Array) -> tuple[Parts, list[list[Step]], list[Array]]:
        """x (L, N, I), the states (layers·D, N, ·) -> output (L, N, D·P), h_n, c_n; every slot's steps, the masks."""
        valid, orders, row = times(len(x), lengths)
        # Zeros in place of the padding: the gradient of what is masked is 0 times it, which may be NaN.
        sequence = np.where(valid, x, 0)
        h_n, c_n, tapes, masks = np.empty_like(h_0), np.empty_like(c_0), [], []
        for layer, cells in enumerate(layers):
            halves = []
            for cell, order in zip(cells, orders, strict=False):
                slot = len(tapes)
                half, h_n[slot], c_n[slot], steps = cell.scan(sequence[order, row], h_0[slot], c_0[slot], valid)
                halves.append(half[order, row])
                tapes.append(steps)
            sequence = np.concatenate(halves, axis=2)
            if training and layer < len(layers) - 1:
                masks.append(dropout_mask(sequence, config.dropout, chance))
                sequence = sequence * masks[-1]
        return (sequence, h_n, c_n), tapes, masks

    def scan_back(
        tapes: list[list[Step]], masks: list[Array], lengths: Array, d_output: Array, d_h_n: Array, d_c_n: Array
    ) -> tuple[Parts, dict[str, Array]]:
        """The gradients of what ``scan`` gave -> those of x, h_0 and c_0, and of the parameters."""
        valid, orders, row = times(len(d_output), lengths)
        d_sequence, d_h_0, d_c_0, d_params = d_output, np.empty_like(d_h_n), np.empty_like(d_c_n), {}
        for layer, cells in reversed([*enumerate(layers)]):
            halves, d_below = np.split(d_sequence, len(cells), axis=2), []
            for direction, (cell, order, d_half) in enumerate(zip(cells, orders, halves, strict=False)):
                slot = layer * len(cells) + direction
                d_x, d_h_0[slot], d_c_0[slot], d_weights = cell.scan_back(
                    tapes[slot], valid, d_half[order, row], d_h_n[slot], d_c_n[slot]
                )
                d_below.append(d_x[order, row])
                d_params |= {f"{name}_l{layer}{ends[direction]}": d for name, d in d_weights.items()}
            d_sequence = sum(d_below[1:], d_below[0])
            if layer and masks:
                d_sequence = d_sequence * masks[layer - 1]
        return (d_sequence, d_h_0, d_c_0), {name: d_params[name] for name in params}

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        *given, rows = accept(x, state, lengths)
        result, *_ = scan(*inward(config, *given), rows)
        output, h_n, c_n = outward(config, *result, unbatched=x.ndim == 2)
        return output, (h_n, c_n)

    def vjp(
        x: Array, state: State | None, lengths: Array | None, grad_output: Array, grad_h_n: Array, grad_c_n: Array
    ) -> tuple[tuple[Array, State], dict[str, Array]]:
        """What ``forward`` returns, and the gradients by name, each shaped like what it is the gradient of."""
        *given, rows = accept(x, state, lengths)
        result, tapes, masks = scan(*inward(config, *given), rows)
        output, h_n, c_n = outward(config, *result, unbatched=x.ndim == 2)
        upstream = grad_output, grad_h_n, grad_c_n
        if [d.shape for d in upstream] != [output.shape, h_n.shape, c_n.shape]:
            raise ValueError(f"the gradients' shapes must be those of the results, got {[d.shape for d in upstream]}")
        inputs, grads = scan_back(tapes, masks, rows, *inward(config, *upstream))
        d_x, d_h_0, d_c_0 = outward(config, *inputs, unbatched=x.ndim == 2)
        return (output, (h_n, c_n)), {"x": d_x, "h_0": d_h_0, "c_0": d_c_0, **grads}

    model: Any = forward
    model.vjp, model.load, model.train = vjp, load, train
    return model
