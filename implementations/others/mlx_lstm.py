"""MLX's nn.LSTM (https://ml-explore.github.io/mlx) on the CPU: one layer, one direction, batch-first or unbatched."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import STATES_BROADCAST, finding, needs
from implementations.model import model_of_layer, on_tensors, one_bias
from implementations.options import refuse

# A stream belongs to the thread that made it.
WORKER = ThreadPoolExecutor(1)
KNOWN = finding("mlx-01-cell-broadcast", *STATES_BROADCAST)
KNOWN |= finding("mlx-02-any-rank", "refusals.rank", "refusals.reshaped-x")
CAPABILITIES = Capabilities(
    no_bias=True, batch_first=True, time_major=False, unbatched=True, gradients=True, expected_failures=KNOWN
)


@backend("mlx", CAPABILITIES, available=needs("mlx", install="pip install 'mlx[cpu]'"))
def mlx_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and ``forward.vjp`` of mlx.nn.LSTM, which has one bias and returns c at every step."""
    import mlx.core as mx
    import mlx.nn

    refuse(CAPABILITIES, config)
    lstm = mlx.nn.LSTM(config.input_size, config.hidden_size, config.bias)
    weights = [params["weight_ih_l0"], params["weight_hh_l0"]]
    weights += [params["bias_ih_l0"] + params["bias_hh_l0"]] if config.bias else []

    def run(weights: Any, x: Any, *state: Any) -> Any:
        lstm.update(dict(zip(("Wx", "Wh", "bias"), weights, strict=False)))
        hidden, cell = lstm(x, *state)
        return hidden, hidden[..., -1, :], cell[..., -1, :]

    def pull(weights: Any, x: Any, state: Any, cotangents: Any) -> Any:
        leaves = [x, *state, *weights]
        return mx.vjp(lambda x, h, c, *weights: run(weights, x, h, c), leaves, [*cotangents])

    def on_worker(function: Any, *arguments: Any) -> Any:
        called = on_tensors(function, lambda array: mx.array(np.array(array, order="C")))
        return WORKER.submit(called, weights, *arguments).result()

    def call(x: Any, state: Any, lengths: Any) -> Any:
        return on_worker(run, x, *(state or ()))

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        results, grads = on_worker(pull, x, state, cotangents)
        names = ("x", "h_0", "c_0", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
        return results, one_bias(dict(zip(names, grads, strict=False)))

    return model_of_layer(CAPABILITIES, config, call, differentiate)
