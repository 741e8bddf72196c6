"""paddle.nn.LSTMCell."""

from __future__ import annotations

from collections.abc import Callable

from conformance import Capabilities, LSTMConfig, cell_backend
from conformance.spec import Array, Params, State
from implementations.options import refuse
from implementations.others.paddle_known import KNOWN_OF_CELL
from implementations.others.paddle_parts import available, filled, tensor

CAPABILITIES = Capabilities(
    no_bias=True, projection=True, dtypes=("float32", "float64"), expected_failures=KNOWN_OF_CELL
)


@cell_backend("paddle-cell", CAPABILITIES, available)
def paddle_cell(config: LSTMConfig, params: Params) -> Callable[[Array, State], State]:
    """``step(x_t, (h, c)) -> (h, c)``."""
    import paddle

    refuse(CAPABILITIES, config)
    paddle.set_device("cpu")
    paddle.set_default_dtype(config.dtype)
    bias = {} if config.bias else {"bias_ih_attr": False, "bias_hh_attr": False}
    cell = paddle.nn.LSTMCell(config.input_size, config.hidden_size, proj_size=config.proj_size, **bias)
    filled(cell, params, "_l0")

    @paddle.no_grad()
    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, P), c (N, H) -> (h, c)."""
        _, (h, c) = cell(tensor(x_t), tuple(map(tensor, state)))
        return h.numpy(), c.numpy()

    return step
