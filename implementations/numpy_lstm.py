"""The LSTM in plain NumPy: one product per time step, of [x, h] with both weights stacked and transposed beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State

DTYPES = ("float32", "float64")


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
        return cls(weight, bias, params["weight_hr" + end].T if "weight_hr" + end in params else None)

    def scan(self, x: Array, h: Array, c: Array, valid: Array) -> tuple[Array, Array, Array]:
        """x (L, N, I), h (N, P), c (N, H), valid (L, N, 1) -> output (L, N, P), h_n (N, P), c_n (N, H).

        Where a step is not valid, the row keeps its state and its output is 0.
        """
        output = np.zeros((len(x), *h.shape), h.dtype)
        for t, x_t in enumerate(x):
            i, f, g, o = np.split(np.concatenate([x_t, h], axis=1) @ self.weight + self.bias, 4, axis=1)
            c_t = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h_t = sigmoid(o) * np.tanh(c_t)
            if self.projection is not None:
                h_t = h_t @ self.projection
            c = np.where(valid[t], c_t, c)
            h = np.where(valid[t], h_t, h)
            output[t] = np.where(valid[t], h_t, 0)
        return output, h, c


def sigmoid(a: Array) -> Array:
    """1 / (1 + e^−a); no exponent is positive, so nothing overflows."""
    return np.exp(np.minimum(a, 0)) / (1 + np.exp(-np.abs(a)))


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
        dtypes=DTYPES,
    ),
)
def numpy_lstm(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state, lengths)`` in the config's own precision."""
    if config.dtype not in DTYPES:
        raise Unsupported(f"dtype {config.dtype}")
    if config.dropout and config.training:
        raise Unsupported("dropout in training")
    ends = ("", "_reverse") if config.bidirectional else ("",)
    layers = [[Cell.of(params, f"_l{layer}{end}") for end in ends] for layer in range(config.num_layers)]

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        if x.ndim not in (2, 3) or x.shape[-1] != config.input_size or x.dtype != config.dtype:
            wanted = f"{config.dtype} with 2 or 3 axes, the last of {config.input_size} features"
            raise ValueError(f"x must be {wanted}, got {x.dtype} {x.shape}")
        batch_first = config.batch_first and x.ndim == 3
        sequence = x.swapaxes(0, 1) if batch_first else x
        steps, *rows = sequence.shape[:-1]
        h_shape = (len(layers) * len(ends), *rows, config.output_size)
        c_shape = (len(layers) * len(ends), *rows, config.hidden_size)
        h_0, c_0 = (np.zeros(h_shape, x.dtype), np.zeros(c_shape, x.dtype)) if state is None else state
        for name, given, shape in (("h_0", h_0, h_shape), ("c_0", c_0, c_shape)):
            if given.shape != shape or given.dtype != config.dtype:
                raise ValueError(f"{name} must be {config.dtype} {shape}, got {given.dtype} {given.shape}")
        if lengths is None:
            lengths = np.full(rows or 1, steps)
        elif not rows or lengths.shape != (*rows,) or lengths.dtype != np.int64:
            given = f"{lengths.dtype} {lengths.shape} for x {x.shape}"
            raise ValueError(f"lengths must be int64, one for each row of a batch, got {given}")
        elif not np.all((lengths >= 1) & (lengths <= steps)):
            raise ValueError(f"lengths must be from 1 to {steps}, got {lengths}")

        if not rows:
            sequence, h_0, c_0 = sequence[:, None], h_0[:, None], c_0[:, None]
        h_n, c_n = np.empty_like(h_0), np.empty_like(c_0)
        t, row = np.ogrid[:steps, : len(lengths)]
        valid = t < lengths
        # In reverse, each row's valid steps change places and its padding stays: the same order leads back.
        turned = np.where(valid, lengths - 1 - t, t)
        for layer, cells in enumerate(layers):
            halves = []
            for direction, cell in enumerate(cells):
                slot = layer * len(cells) + direction
                time = turned if direction else t
                half, h_n[slot], c_n[slot] = cell.scan(sequence[time, row], h_0[slot], c_0[slot], valid[..., None])
                halves.append(half[time, row])
            sequence = np.concatenate(halves, axis=2)

        if not rows:
            return sequence[:, 0], (h_n[:, 0], c_n[:, 0])
        return sequence.swapaxes(0, 1) if batch_first else sequence, (h_n, c_n)

    return forward
