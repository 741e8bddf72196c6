"""torch.compile of nn.LSTM, which is compiled only with ``allow_rnn``, and of the textbook loop in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from conformance.torch_module import from_torch, to_torch, vjp_of
from implementations.torch_nn import load

CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    batch_first=True,
    unbatched=True,
    projection=True,
    dtypes=("float32", "float64"),
    compiled=True,
)


@cache
def _compiled() -> Callable[..., Any]:
    torch._dynamo.config.allow_rnn = True
    # Each signature is a compilation of the same function.
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 100_000

    # fullgraph raises if anything is not compiled; dynamic shapes would be another implementation.
    @torch.compile(fullgraph=True, dynamic=False)
    def compiled(lstm: torch.nn.LSTM, x: Tensor, hx: tuple[Tensor, Tensor] | None) -> Any:
        return lstm(x, hx)

    return compiled


@backend("torch-compile", CAPABILITIES)
def torch_compile(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of nn.LSTM compiled by inductor, without gradients."""
    if config.dtype not in CAPABILITIES.dtypes or (config.dropout and config.training):
        raise Unsupported("compiled in float32 and float64, for evaluation")
    lstm, compiled = load(config, params), _compiled()

    @torch.no_grad()
    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        hx = None if state is None else (to_torch(state[0]), to_torch(state[1]))
        output, (h_n, c_n) = compiled(lstm, to_torch(x), hx)
        return from_torch(output), (from_torch(h_n), from_torch(c_n))

    return forward


@backend("torch-compile-native", replace(CAPABILITIES, gradients=True))
def torch_compile_native(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``torch_compile`` and its gradients with oneDNN off: the steps are unrolled and compiled themselves."""
    forward: Any = torch_compile(config, params)
    lstm = load(config, params)

    def without(function: Callable[..., Any]) -> Any:
        def called(*arguments: Any) -> Any:
            with torch.backends.mkldnn.flags(enabled=False):
                return function(*arguments)

        return called

    model: Any = without(forward)
    model.vjp = without(vjp_of(lambda x, hx: _compiled()(lstm, x, hx), config, dict(lstm.named_parameters())))
    return model
