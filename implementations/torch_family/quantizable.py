"""PyTorch's quantizable LSTM before it is converted: in floats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Params
from conformance.torch_module import call, vjp_of
from implementations.adapter import finding
from implementations.torch_family.tensors import forward_of
from implementations.torch_nn import load

EXPECTED = {
    **finding("torch-05-quantizable-unbatched", "refusals.undeclared"),
    **finding(
        "torch-06-quantizable-state-reshaped",
        "refusals.reshaped-x",
        "refusals.broadcast-state",
        "refusals.reshaped-state",
        "refusals.state-rank",
    ),
}


@backend(
    "torch-ao-quantizable",
    Capabilities(
        layers=True, bidirectional=True, no_bias=True, batch_first=True, gradients=True, expected_failures=EXPECTED
    ),
)
def torch_ao_quantizable(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and ``forward.vjp`` of torch.ao.nn.quantizable.LSTM."""
    if config.dtype != "float32" or config.proj_size or (config.dropout and config.training):
        raise Unsupported("the quantizable LSTM has no projection and no dropout, and float64 fails (torch-04)")
    # Observers that look at nothing: the LSTM stays as it is before a calibration.
    nothing = torch.ao.quantization.PlaceholderObserver
    qconfig = torch.ao.quantization.QConfig(activation=nothing, weight=nothing)
    float_lstm: Any = load(config, params)
    float_lstm.qconfig = qconfig
    run = partial(call, torch.ao.nn.quantizable.LSTM.from_float(float_lstm, qconfig), config)
    own = dict(run.args[0].named_parameters())
    model = forward_of(run)
    model.vjp = vjp_of(run, config, {name: own[_own_name(name)] for name in params})
    return model


def _own_name(name: str) -> str:
    """``weight_ih_l0_reverse`` is ``layers.0.layer_bw.cell.igates.weight`` there."""
    kind, _, place = name.partition("_l")
    layer, _, reverse = place.partition("_")
    what, gates = kind.split("_")
    return f"layers.{layer}.layer_{'bw' if reverse else 'fw'}.cell.{gates[0]}gates.{what}"
