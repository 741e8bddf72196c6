"""torch.nn.LSTMCell, one step; the suite supplies the loop over time."""

from __future__ import annotations

import torch

from conformance import Capabilities, LSTMConfig, Unsupported, cell_backend
from conformance.backend import Step
from conformance.spec import Array, Params, State
from conformance.torch_module import from_torch, to_torch

DTYPES = ("float32", "float64", "float16", "bfloat16")


@cell_backend("torch-cell", Capabilities(no_bias=True, dtypes=DTYPES))
def torch_cell(config: LSTMConfig, params: Params) -> Step:
    """``step(x_t, (h, c)) -> (h, c)`` of nn.LSTMCell."""
    if config.dtype not in DTYPES:
        raise Unsupported(f"dtype {config.dtype}")
    if config.proj_size:
        raise Unsupported("nn.LSTMCell has no projection")
    if config.dropout and config.training:
        raise Unsupported("dropout in training")
    cell = torch.nn.LSTMCell(config.input_size, config.hidden_size, config.bias, dtype=getattr(torch, config.dtype))
    cell.load_state_dict({name.removesuffix("_l0"): to_torch(value) for name, value in params.items()})

    @torch.no_grad()
    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, H), c (N, H) -> (h, c)."""
        h, c = state
        h, c = cell(to_torch(x_t), (to_torch(h), to_torch(c)))
        return from_torch(h), from_torch(c)

    return step
