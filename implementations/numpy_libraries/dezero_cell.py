"""dezero.layers.LSTM, which takes one step and keeps its state."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance import Capabilities, LSTMConfig, cell_backend
from conformance.spec import Array, Params, State
from implementations.adapter import needs
from implementations.options import refuse, refuse_rows

CAPABILITIES = Capabilities(dtypes=("float32", "float64"), threads=False)  # a layer keeps its state


@cell_backend("dezero", CAPABILITIES, needs("dezero", install="pip install dezero"))
def dezero_cell(config: LSTMConfig, params: Params) -> Callable[[Array, State], State]:
    """For each gate a layer of x with the only bias, and one of h."""
    np.int = int  # pyright: ignore[reportAttributeAccessIssue]  # it is older than NumPy 1.24
    from dezero import Variable, no_grad
    from dezero.layers import LSTM

    refuse(CAPABILITIES, config)
    lstm = LSTM(config.hidden_size, config.input_size)
    names = ("weight_ih_l0", "weight_hh_l0")
    bias = np.split(params["bias_ih_l0"] + params["bias_hh_l0"], 4)
    w_x, w_h = (np.split(params[name].T.copy(), 4, axis=1) for name in names)
    for gate, of_x, of_h, b in zip("ifuo", w_x, w_h, bias, strict=True):
        x2, h2 = getattr(lstm, "x2" + gate), getattr(lstm, "h2" + gate)
        x2.W.data, x2.b.data, h2.W.data = of_x, b, of_h

    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, H), c (N, H) -> (h, c)."""
        refuse_rows(config, x_t, *state)
        lstm.h, lstm.c = (Variable(np.array(part)) for part in state)
        with no_grad():
            lstm(np.array(x_t))
        return lstm.h.data, lstm.c.data

    return step
