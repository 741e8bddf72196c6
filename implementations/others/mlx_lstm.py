"""MLX's nn.LSTM (https://ml-explore.github.io/mlx) on the CPU: one layer, one direction, batch-first or unbatched."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params
from implementations.adapter import finding, needs
from implementations.model import model_of
from implementations.options import refuse

# A stream belongs to the thread that made it.
WORKER = ThreadPoolExecutor(1)
#: Wx, Wh and bias.
NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")


CAPABILITIES = Capabilities(
    no_bias=True,
    batch_first=True,
    time_major=False,
    unbatched=True,
    gradients=True,
    expected_failures={
        **finding(
            "mlx-01-cell-broadcast",
            "refusals.state-shape",
            "refusals.broadcast-state",
            "refusals.batch-mismatch",
            "refusals.reshaped-state",
            "refusals.state-rank",
        ),
        **finding("mlx-02-any-rank", "refusals.rank", "refusals.reshaped-x"),
    },
)


@backend("mlx", CAPABILITIES, available=needs("mlx", install="pip install 'mlx[cpu]'"))
def mlx_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and ``forward.vjp`` of mlx.nn.LSTM, which has one bias and returns c at every step."""
    import mlx.core as mx
    import mlx.nn

    refuse(CAPABILITIES, config)
    lstm = mlx.nn.LSTM(config.input_size, config.hidden_size, config.bias)
    own = {"Wx": params["weight_ih_l0"], "Wh": params["weight_hh_l0"]}
    own |= {"bias": params["bias_ih_l0"] + params["bias_hh_l0"]} if config.bias else {}

    def given(*arrays: Array) -> list[Any]:
        return [mx.array(np.array(array, order="C")) for array in arrays]

    def run(weights: list[Any], *arguments: Any) -> tuple[Any, Any, Any]:
        lstm.update(dict(zip(own, weights, strict=True)))
        hidden, cell = lstm(*arguments)
        return hidden, hidden[..., -1, :], cell[..., -1, :]

    def forward(x: Array, *state: Array) -> list[Array]:
        return [np.array(part) for part in run(given(*own.values()), *given(x, *state))]

    def backward(primals: list[Array], cotangents: list[Array]) -> list[list[Array]]:
        leaves = given(*primals, *own.values())
        found = mx.vjp(lambda x, h, c, *weights: run([*weights], x, h, c), leaves, given(*cotangents))
        return [[np.array(part) for part in parts] for parts in found]

    def call(x: Any, state: Any, lengths: Any) -> Any:
        arrays = () if state is None else (part for (part,) in state)
        output, h_n, c_n = WORKER.submit(forward, x, *arrays).result()
        return output, h_n[None], c_n[None]

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        (h_0,), (c_0,), (d_output, (d_h_n,), (d_c_n,)) = *state, cotangents
        results, found = WORKER.submit(backward, [x, h_0, c_0], [d_output, d_h_n, d_c_n]).result()
        (output, h_n, c_n), (d_x, d_h_0, d_c_0, *weights) = results, found
        grads = {"x": d_x, "h_0": d_h_0[None], "c_0": d_c_0[None]} | dict(zip(NAMES, weights, strict=False))
        # Both of nn.LSTM's biases have the gradient of the one here.
        grads |= {"bias_hh_l0": weights[-1].copy()} if config.bias else {}
        return (output, h_n[None], c_n[None]), grads

    return model_of(CAPABILITIES, config, call, differentiate)
