"""torch.compile of nn.LSTM, which is compiled only with ``allow_rnn``: with oneDNN's layer, and without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from conformance import LSTMConfig, Unsupported, backend
from conformance.spec import Params
from implementations.adapter import finding
from implementations.torch_family.inductor import compiled
from implementations.torch_family.tensors import forward_of, refuse_many_steps, tensor_model, without_onednn
from implementations.torch_nn import CAPABILITIES as NN_LSTM
from implementations.torch_nn import load

FLOATS = ("float32", "float64")
CAPABILITIES = replace(NN_LSTM, lengths=False, gradients=False, dropout=False, dtypes=FLOATS, compiled=True)


def _lstm(config: LSTMConfig, params: Params) -> torch.nn.LSTM:
    if config.dtype not in CAPABILITIES.dtypes or (config.dropout and config.training):
        raise Unsupported("compiled in float32 and float64, for evaluation")
    return load(config, params)


_EMPTY = {
    **finding("torch-15-compile-no-rows-crash", "degenerate.no-rows", "degenerate.then-right"),
    **finding("torch-16-compile-no-steps", "degenerate.no-steps"),
}


@backend("torch-compile", replace(CAPABILITIES, expected_failures=_EMPTY))
def torch_compile(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of nn.LSTM, each layer oneDNN's; with gradients it fails (torch-01)."""
    lstm = _lstm(config, params)
    return forward_of(lambda x, hx: compiled()(lstm, x, hx))


@backend("torch-compile-native", replace(CAPABILITIES, gradients=True))
def torch_compile_native(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and its gradients with oneDNN off: the steps are written out and compiled themselves."""
    lstm = _lstm(config, params)

    def run(x: Tensor, hx: tuple[Tensor, Tensor] | None) -> Any:
        refuse_many_steps(config, x, 64)
        return without_onednn(compiled())(lstm, x, hx)

    return tensor_model(run, config, lstm)
