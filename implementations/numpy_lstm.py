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

    def scan(self, x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
        """x (L, N, I), h (N, P), c (N, H) -> output (L, N, P), h_n (N, P), c_n (N, H)."""
        output = []
        for x_t in x:
            i, f, g, o = np.split(np.concatenate([x_t, h], axis=1) @ self.weight + self.bias, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            if self.projection is not None:
                h = h @ self.projection
            output.append(h)
        return np.stack(output), h, c


def sigmoid(a: Array) -> Array:
    """1 / (1 + e^−a); no exponent is positive, so nothing overflows."""
    return np.exp(np.minimum(a, 0)) / (1 + np.exp(-np.abs(a)))


def drop(y: Array, p: float, chance: np.random.Generator) -> Array:
    """Each element with probability p 0, else y/(1 − p)."""
    return np.divide(y, 1 - p, out=np.zeros_like(y), where=chance.random(y.shape) >= p)


@backend(
    "numpy",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        unbatched=True,
        projection=True,
        dropout=True,
        dtypes=DTYPES,
    ),
)
def numpy_lstm(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state)`` in the config's own precision."""
    if config.dtype not in DTYPES:
        raise Unsupported(f"dtype {config.dtype}")
    ends = ("", "_reverse") if config.bidirectional else ("",)
    chance = np.random.default_rng()
    layers = [[Cell.of(params, f"_l{layer}{end}") for end in ends] for layer in range(config.num_layers)]

    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        if x.ndim not in (2, 3) or x.shape[-1] != config.input_size or x.dtype != config.dtype:
            wanted = f"{config.dtype} with 2 or 3 axes, the last of {config.input_size} features"
            raise ValueError(f"x must be {wanted}, got {x.dtype} {x.shape}")
        batch_first = config.batch_first and x.ndim == 3
        sequence = x.swapaxes(0, 1) if batch_first else x
        rows = sequence.shape[1:-1]
        h_shape = (len(layers) * len(ends), *rows, config.output_size)
        c_shape = (len(layers) * len(ends), *rows, config.hidden_size)
        h_0, c_0 = (np.zeros(h_shape, x.dtype), np.zeros(c_shape, x.dtype)) if state is None else state
        for name, given, shape in (("h_0", h_0, h_shape), ("c_0", c_0, c_shape)):
            if given.shape != shape or given.dtype != config.dtype:
                raise ValueError(f"{name} must be {config.dtype} {shape}, got {given.dtype} {given.shape}")

        if not rows:
            sequence, h_0, c_0 = sequence[:, None], h_0[:, None], c_0[:, None]
        h_n, c_n = np.empty_like(h_0), np.empty_like(c_0)
        for layer, cells in enumerate(layers):
            halves = []
            for direction, cell in enumerate(cells):
                slot = layer * len(cells) + direction
                time = slice(None, None, -1 if direction else 1)
                half, h_n[slot], c_n[slot] = cell.scan(sequence[time], h_0[slot], c_0[slot])
                halves.append(half[time])
            sequence = np.concatenate(halves, axis=2)
            if config.training and layer < len(layers) - 1:
                sequence = drop(sequence, config.dropout, chance)

        if not rows:
            return sequence[:, 0], (h_n[:, 0], c_n[:, 0])
        return sequence.swapaxes(0, 1) if batch_first else sequence, (h_n, c_n)

    return forward
