"""torch.nn.LSTM fed one element of the sequence at a time, with the state carried by the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Params
from implementations.torch_family.tensors import tensor_model
from implementations.torch_nn import load


@backend(
    "torch-nn-step",
    Capabilities(
        layers=True,
        no_bias=True,
        batch_first=True,
        unbatched=True,
        projection=True,
        gradients=True,
        dropout=True,  # a mask for each call is one for each step, as it should be
        dtypes=("float32", "float64", "float16", "bfloat16"),
    ),
)
def torch_nn_step(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and ``forward.vjp`` that call nn.LSTM once for each time step."""
    if config.bidirectional:
        raise Unsupported("bidirectional: the reverse direction begins at an element that has not come yet")
    lstm = load(config, params)

    def run(x: Tensor, hx: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """``forward`` on tensors."""
        time_axis = 1 if config.batch_first and x.ndim == 3 else 0
        first, *rest = x.split(1, dim=time_axis)
        output, (h_n, c_n) = lstm(first, hx)
        outputs = [output]
        for element in rest:
            output, (h_n, c_n) = lstm(element, (h_n, c_n))
            outputs.append(output)
        return torch.cat(outputs, dim=time_axis), (h_n, c_n)

    return tensor_model(run, config, lstm)
