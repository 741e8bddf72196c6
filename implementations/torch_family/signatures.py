"""nn.LSTM with its weights as arguments: compiled or exported once for each signature, it serves all models."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from conformance import LSTMConfig, Unsupported, guard
from conformance.spec import Array, Params, State, param_shapes
from conformance.torch_module import from_torch, to_torch
from implementations.options import zeros
from implementations.torch_family.tensors import refuse_many_steps

#: x, h_0, c_0 and the weights in nn.LSTM's order -> output, h_n, c_n.
Run = Callable[..., Any]


class Functional(torch.nn.Module):
    """The call that nn.LSTM's ``forward`` makes, ``torch._VF.lstm``, with the weights as arguments."""

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Tensor, h_0: Tensor, c_0: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (L, N, I), or (N, L, I) if batch_first -> output, h_n, c_n."""
        config = self.config
        options = (config.bias, config.num_layers, 0.0, False, config.bidirectional, config.batch_first)
        return torch._VF.lstm(x, (h_0, c_0), list(weights), *options)  # pyright: ignore[reportAttributeAccessIssue]


def by_signature(
    config: LSTMConfig, params: Params, compile_: Callable[..., Run], most_steps: int = sys.maxsize
) -> Callable[..., Any]:
    """``forward(x, state)`` by ``compile_(config, *example tensors) -> run``, called once for each signature.

    ``most_steps`` is what can be compiled in a minute where each step is written out.
    """
    if config.dtype not in ("float32", "float64") or (config.dropout and config.training):
        raise Unsupported("float32 and float64, for evaluation")
    weights = [to_torch(params[name].copy()) for name in param_shapes(config)]

    @torch.no_grad()
    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first -> output, (h_n, c_n)."""
        if x.ndim != 3:
            raise Unsupported("the exported call is batched")
        guard(config, x, state)  # nn.LSTM's forward looks at the shapes before it makes the call that is exported
        tensors = [*map(to_torch, (x, *(state or zeros(config, x)))), *weights]
        refuse_many_steps(config, tensors[0], most_steps)
        key = (config, *((tensor.shape, tensor.dtype) for tensor in tensors))
        if (compile_, key) not in _compiled:
            # Programs are made for plain memory.
            _compiled[compile_, key] = compile_(config, *(tensor.contiguous() for tensor in tensors))
        output, h_n, c_n = _compiled[compile_, key](*(tensor.contiguous() for tensor in tensors))
        return from_torch(output), (from_torch(h_n), from_torch(c_n))

    return forward


_compiled: dict[Any, Run] = {}
