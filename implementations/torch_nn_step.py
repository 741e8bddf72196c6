"""torch.nn.LSTM fed one element of the sequence at a time, with the state carried by the caller."""

from __future__ import annotations

from collections.abc import Callable

import torch

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from conformance.torch_module import to_torch
from implementations.torch_nn import load


@backend(
    "torch-nn-step",
    Capabilities(
        layers=True,
        no_bias=True,
        batch_first=True,
        unbatched=True,
        projection=True,
        dropout=True,  # a mask for each call is one for each step, as it should be
        dtypes=("float32", "float64"),
    ),
)
def torch_nn_step(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state)`` that calls nn.LSTM once for each time step."""
    if config.bidirectional:
        raise Unsupported("bidirectional: the reverse direction begins at an element that has not come yet")
    lstm = load(config, params)

    @torch.no_grad()
    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        time_axis = 1 if config.batch_first and x.ndim == 3 else 0
        hx = None if state is None else (to_torch(state[0]), to_torch(state[1]))
        first, *rest = to_torch(x).split(1, dim=time_axis)
        output, (h_n, c_n) = lstm(first, hx)
        outputs = [output]
        for element in rest:
            output, (h_n, c_n) = lstm(element, (h_n, c_n))
            outputs.append(output)
        return torch.cat(outputs, dim=time_axis).numpy(), (h_n.numpy(), c_n.numpy())

    return forward
