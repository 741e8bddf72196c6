"""MLX's nn.LSTM (https://ml-explore.github.io/mlx) on the CPU: one layer, one direction, batch-first or unbatched."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from implementations.adapter import finding, needs

# A stream belongs to the thread that made it.
WORKER = ThreadPoolExecutor(1)


@backend(
    "mlx",
    Capabilities(
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
    ),
    available=needs("mlx", install="pip install 'mlx[cpu]'"),
)
def mlx_lstm(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state)`` and ``forward.vjp`` of mlx.nn.LSTM, which has one bias and returns c at every step."""
    import mlx.core as mx
    import mlx.nn

    if config.num_layers > 1 or config.bidirectional or config.proj_size or (config.dropout and config.training):
        raise Unsupported("mlx.nn.LSTM is one layer, one direction, without projection or dropout")
    if config.dtype != "float32":
        raise Unsupported(f"dtype {config.dtype}")
    lstm = mlx.nn.LSTM(config.input_size, config.hidden_size, config.bias)

    def given(array: Array) -> Any:
        return mx.array(np.array(array, order="C"))

    def run(weights: dict[str, Any], *arguments: Any) -> tuple[Any, Any, Any]:
        lstm.update(weights)
        hidden, cell = lstm(*arguments)
        return hidden, hidden[..., -1, :], cell[..., -1, :]

    def weights() -> dict[str, Any]:
        of = {"Wx": given(params["weight_ih_l0"]), "Wh": given(params["weight_hh_l0"])}
        return of | ({"bias": given(params["bias_ih_l0"] + params["bias_hh_l0"])} if config.bias else {})

    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (N, L, I) or (L, I) -> output, (h_n, c_n)."""
        arguments = [x]
        if state is not None:
            (h_0,), (c_0,) = state
            arguments += [h_0, c_0]
        output, h_n, c_n = WORKER.submit(lambda: [np.array(a) for a in run(weights(), *map(given, arguments))]).result()
        return output, (h_n[None], c_n[None])

    def vjp(x: Array, state: State | None, lengths: None, *cotangents: Array) -> Any:
        zeros = np.zeros((*x.shape[:-2], config.hidden_size), x.dtype)
        h_0, c_0 = (zeros, zeros) if state is None else (state[0][0], state[1][0])

        def work() -> tuple[list[Array], list[Array], dict[str, Array]]:
            own = weights()
            grads = [given(cotangents[0]), *(given(grad) for (grad,) in cotangents[1:])]
            results, found = mx.vjp(lambda *a: run(dict(zip(own, a[3:], strict=True)), *a[:3]),
                                    [given(x), given(h_0), given(c_0), *own.values()], grads)  # fmt: skip
            x_h_c, of_weights = found[:3], dict(zip(own, map(np.array, found[3:]), strict=True))
            return [np.array(a) for a in results], [np.array(a) for a in x_h_c], of_weights

        (output, h_n, c_n), (grad_x, grad_h, grad_c), of = WORKER.submit(work).result()
        grads = {
            "x": grad_x,
            "h_0": grad_h[None],
            "c_0": grad_c[None],
            "weight_ih_l0": of["Wx"],
            "weight_hh_l0": of["Wh"],
        }
        grads |= {"bias_ih_l0": of["bias"], "bias_hh_l0": of["bias"].copy()} if config.bias else {}
        return (output, (h_n[None], c_n[None])), grads

    model: Any = forward
    model.vjp = vjp
    return model
