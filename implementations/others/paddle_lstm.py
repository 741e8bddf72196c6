"""paddle.nn.LSTM, which has a fused kernel, and a loop for projections and models without bias; paddle.nn.LSTMCell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend, cell_backend
from conformance.spec import Array, Params, State
from implementations.adapter import needs
from implementations.options import refuse, refuse_call, zeros

# Models without biases end the process: docs/findings/paddle-01-no-bias-crash.md.
CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    batch_first=True,
    projection=True,
    lengths=True,
    gradients=True,
    dropout=True,
    dtypes=("float32", "float64"),
)
CELL = Capabilities(no_bias=True, projection=True, dtypes=("float32", "float64"))
available = needs("paddle", install="pip install paddlepaddle")


def fill(cell: Any, params: Params, end: str) -> dict[str, Any]:
    """Copy one slot's weights into a cell, whose projection has nn.LSTM's transposed; its variables by our names."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    variables = {name + end: getattr(cell, name) for name in names if name + end in params}
    for name, variable in variables.items():
        variable.set_value(np.array(params[name]))
    if "weight_hr" + end in params:
        cell.weight_ho.set_value(params["weight_hr" + end].T.copy())
        variables["weight_hr" + end] = cell.weight_ho
    return variables


def make(config: LSTMConfig, params: Params, dropout: float) -> tuple[Any, dict[str, Any]]:
    """An nn.LSTM in training, and its variables by our names."""
    import paddle

    paddle.set_default_dtype(config.dtype)
    lstm = paddle.nn.LSTM(
        config.input_size,
        config.hidden_size,
        config.num_layers,
        direction="bidirect" if config.bidirectional else "forward",
        time_major=not config.batch_first,
        dropout=dropout,
        proj_size=config.proj_size,
    )
    parts = ("cell_fw", "cell_bw") if config.bidirectional else ("cell",)
    cells = [getattr(layer, part) for layer in lstm for part in parts]
    variables: dict[str, Any] = {}
    for slot, cell in zip(config.slots(), cells, strict=True):
        variables |= fill(cell, params, slot.suffix)
    return lstm, variables


@backend("paddle", CAPABILITIES, available)
def paddle_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state, lengths)`` and ``forward.vjp``."""
    import paddle

    refuse(CAPABILITIES, config)
    paddle.set_device("cpu")
    lstm, _ = make(config, params, config.dropout)
    # The fused kernel has a gradient in training only, which without dropout is evaluation.
    twin, variables = make(config, params, config.dropout if config.training else 0.0)
    lstm.train() if config.training else lstm.eval()

    def tensor(array: Array | None) -> Any:
        return None if array is None else paddle.to_tensor(np.array(array))

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first -> output in x's layout, (h_n, c_n)."""
        refuse_call(CAPABILITIES, x, lengths)
        with paddle.no_grad():
            output, (h_n, c_n) = lstm(tensor(x), state and tuple(map(tensor, state)), tensor(lengths))
        return output.numpy(), (h_n.numpy(), c_n.numpy())

    def vjp(x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
        """What ``forward`` returns, and the gradients by name."""
        refuse_call(CAPABILITIES, x, lengths)
        h_0, c_0 = zeros(config, x) if state is None else state
        leaves = {"x": tensor(x), "h_0": tensor(h_0), "c_0": tensor(c_0)}
        for leaf in leaves.values():
            leaf.stop_gradient = False
        output, (h_n, c_n) = twin(leaves["x"], (leaves["h_0"], leaves["c_0"]), tensor(lengths))
        wanted, upstream = leaves | variables, [tensor(part) for part in cotangents]
        grads = paddle.grad([output, h_n, c_n], [*wanted.values()], upstream, allow_unused=True)
        found = {name: None if grad is None else grad.numpy() for name, grad in zip(wanted, grads, strict=True)}
        found = {name: np.zeros(wanted[name].shape, x.dtype) if grad is None else grad for name, grad in found.items()}
        # Paddle's projection is nn.LSTM's transposed.
        found = {name: grad.T if name.startswith("weight_hr") else grad for name, grad in found.items()}
        return (output.numpy(), (h_n.numpy(), c_n.numpy())), found

    model: Any = forward
    model.vjp = vjp
    return model


@cell_backend("paddle-cell", CELL, available)
def paddle_cell(config: LSTMConfig, params: Params) -> Callable[[Array, State], State]:
    """``step(x_t, (h, c)) -> (h, c)``."""
    import paddle

    refuse(CELL, config)
    paddle.set_device("cpu")
    bias = {} if config.bias else {"bias_ih_attr": False, "bias_hh_attr": False}
    paddle.set_default_dtype(config.dtype)
    cell = paddle.nn.LSTMCell(config.input_size, config.hidden_size, proj_size=config.proj_size, **bias)
    fill(cell, params, "_l0")

    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, P), c (N, H) -> (h, c)."""
        x, h, c = (paddle.to_tensor(np.array(array)) for array in (x_t, *state))
        with paddle.no_grad():
            _, (h, c) = cell(x, (h, c))
        return h.numpy(), c.numpy()

    return step
