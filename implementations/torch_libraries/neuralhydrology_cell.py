"""The cell of neuralhydrology's CustomLSTM, by which hydrologists look into a trained LSTM."""

from __future__ import annotations

from collections.abc import Callable

from conformance import Capabilities, LSTMConfig, cell_backend
from conformance.spec import Array, Params, State
from implementations.adapter import STATES_BROADCAST, finding, needs
from implementations.options import refuse

CAPABILITIES = Capabilities(
    dtypes=("float32", "float64"), expected_failures=finding("neuralhydrology-01-state-broadcast", *STATES_BROADCAST)
)


@cell_backend("neuralhydrology", CAPABILITIES, needs("neuralhydrology", install="pip install neuralhydrology"))
def neuralhydrology_cell(config: LSTMConfig, params: Params) -> Callable[[Array, State], State]:
    """``step(x_t, (h, c)) -> (h, c)``."""
    import torch
    from neuralhydrology.modelzoo.customlstm import _LSTMCell

    from conformance.torch_module import from_torch, to_torch

    refuse(CAPABILITIES, config)
    cell = _LSTMCell(config.input_size, config.hidden_size).to(getattr(torch, config.dtype))
    names = {"w_ih": "weight_ih_l0", "w_hh": "weight_hh_l0", "b_ih": "bias_ih_l0", "b_hh": "bias_hh_l0"}
    cell.load_state_dict({own: to_torch(params[name]) for own, name in names.items()})

    @torch.no_grad()
    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, H), c (N, H) -> (h, c)."""
        found = cell(to_torch(x_t), *map(to_torch, state))
        return from_torch(found["h_n"]), from_torch(found["c_n"])

    return step
