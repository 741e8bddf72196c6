"""labml_nn.lstm.LSTM, the annotated implementation: a stack of cells, time-major."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import STATES_UNCHECKED, finding, needs
from implementations.model import one_bias
from implementations.options import refuse
from implementations.torch_libraries.autograd import model_of

UNCHECKED = finding("labml-01-shapes-unchecked", "refusals.rank", *STATES_UNCHECKED)
CAPABILITIES = Capabilities(layers=True, gradients=True, dtypes=("float32", "float64"), expected_failures=UNCHECKED)


@backend("labml-nn", CAPABILITIES, needs("labml_nn", install="pip install labml-nn"))
def labml_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """It has one bias, with the recurrent weights."""
    import torch
    from labml_nn.lstm import LSTM

    from conformance.torch_module import to_torch

    refuse(CAPABILITIES, config)
    lstm = LSTM(config.input_size, config.hidden_size, config.num_layers).to(getattr(torch, config.dtype))
    leaves: dict[str, Any] = {}
    for k, cell in enumerate(lstm.cells):
        end = f"_l{k}"
        x, h = cell.input_lin, cell.hidden_lin
        leaves |= {"weight_ih" + end: x.weight, "weight_hh" + end: h.weight, "bias_ih" + end: h.bias}
        with torch.no_grad():
            x.weight.copy_(to_torch(params["weight_ih" + end]))
            h.weight.copy_(to_torch(params["weight_hh" + end]))
            h.bias.copy_(to_torch(params["bias_ih" + end] + params["bias_hh" + end]))
    return model_of(CAPABILITIES, config, lstm, leaves, one_bias)
