"""numpy_ml's LSTMCell, which takes one step in float64 and keeps its state; its LSTM cannot be made."""

from __future__ import annotations

import collections
from collections.abc import Callable, Hashable

import numpy as np

from conformance import Capabilities, LSTMConfig, cell_backend
from conformance.spec import Array, Params, State
from implementations.adapter import needs
from implementations.options import refuse, refuse_rows

# The layer over the steps: docs/findings/numpy-ml-01-layer-cannot-be-made.md.
CAPABILITIES = Capabilities(dtypes=("float64",), threads=False)  # a cell keeps its state


@cell_backend("numpy-ml", CAPABILITIES, needs("numpy_ml", install="pip install numpy-ml"))
def numpy_ml_cell(config: LSTMConfig, params: Params) -> Callable[[Array, State], State]:
    """For each gate one matrix for [h, x], and one bias."""
    collections.Hashable = Hashable  # pyright: ignore[reportAttributeAccessIssue]  # it is older than Python 3.10
    from numpy_ml.neural_nets.layers import LSTMCell

    refuse(CAPABILITIES, config)
    cell = LSTMCell(config.hidden_size)
    cell.n_in = config.input_size
    cell._init_params()
    matrix = np.concatenate([params["weight_hh_l0"], params["weight_ih_l0"]], axis=1).T
    bias = params["bias_ih_l0"] + params["bias_hh_l0"]
    for gate, w, b in zip("ufco", np.split(matrix, 4, axis=1), np.split(bias, 4), strict=True):
        cell.parameters["W" + gate][...], cell.parameters["b" + gate][...] = w, b

    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, H), c (N, H) -> (h, c)."""
        refuse_rows(config, x_t, *state)
        cell.flush_gradients()  # else it keeps every step
        cell.derived_variables["A"], cell.derived_variables["C"] = [state[0]], [state[1]]
        return cell.forward(x_t)

    return step
