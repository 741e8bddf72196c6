"""snntorch.SLSTM, a spiking cell around torch.nn.LSTMCell: without a reset, its membrane is h."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from conformance import Capabilities, LSTMConfig, Unsupported, cell_backend
from conformance.spec import Array, Params, State
from implementations.adapter import STATES_BROADCAST, finding, needs
from implementations.options import refuse

CAPABILITIES = Capabilities(
    no_bias=True,
    threads=False,  # a layer keeps its state
    expected_failures=finding("snntorch-02-state-replaced", *STATES_BROADCAST),
)


@cell_backend("snntorch", CAPABILITIES, needs("snntorch", install="pip install snntorch"))
def snntorch_cell(config: LSTMConfig, params: Params) -> Callable[[Array, State], State]:
    """``step(x_t, (h, c)) -> (h, c)``."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import snntorch

    from conformance.torch_module import from_torch, to_torch

    refuse(CAPABILITIES, config)
    if config.input_size != config.hidden_size:
        raise Unsupported("as many features as units: docs/findings/snntorch-01-state-forgotten.md")
    cell = snntorch.SLSTM(config.input_size, config.hidden_size, bias=config.bias, reset_mechanism="none")
    weights = {name.removesuffix("_l0"): to_torch(value.copy()) for name, value in params.items()}
    cell.lstm_cell.load_state_dict(weights)

    @torch.no_grad()
    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, H), c (N, H) -> (h, c)."""
        h, c = map(to_torch, state)
        _, c, h = cell(to_torch(x_t), c, h)
        return from_torch(h), from_torch(c)

    return step
