"""ncps.torch.LSTMCell, the memory beside the liquid cells of Neural Circuit Policies."""

from __future__ import annotations

from collections.abc import Callable

from conformance import Capabilities, LSTMConfig, cell_backend, reorder
from conformance.spec import Array, Params, State
from implementations.adapter import STATES_BROADCAST, finding, needs
from implementations.options import refuse

CAPABILITIES = Capabilities(
    dtypes=("float32", "float64"), expected_failures=finding("ncps-01-state-broadcast", *STATES_BROADCAST)
)


@cell_backend("ncps", CAPABILITIES, needs("ncps", install="pip install ncps torch"))
def ncps_cell(config: LSTMConfig, params: Params) -> Callable[[Array, State], State]:
    """Gates g, i, f, o, one bias, and a forget gate that adds 1 itself."""
    import torch
    from ncps.torch.lstm import LSTMCell

    from conformance.torch_module import from_torch, to_torch

    refuse(CAPABILITIES, config)
    cell = LSTMCell(config.input_size, config.hidden_size).to(getattr(torch, config.dtype))
    w_x, w_h = (to_torch(reorder(params[name], "gifo")) for name in ("weight_ih_l0", "weight_hh_l0"))
    bias = to_torch(reorder(params["bias_ih_l0"] + params["bias_hh_l0"], "gifo"))
    bias[2 * config.hidden_size : 3 * config.hidden_size] -= 1
    cell.load_state_dict({"input_map.weight": w_x, "input_map.bias": bias, "recurrent_map.weight": w_h})

    @torch.no_grad()
    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, H), c (N, H) -> (h, c)."""
        h, c = cell(to_torch(x_t), tuple(map(to_torch, state)))
        return from_torch(h), from_torch(c)

    return step
