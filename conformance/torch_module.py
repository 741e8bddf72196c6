"""A torch ``nn.Module`` class that is a drop-in for nn.LSTM, as a build function; imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from conformance.backend import Build, Unsupported
from conformance.spec import Array, LSTMConfig, Params, State


def build_of(cls: type[torch.nn.Module]) -> Build:
    """``build(config, params)`` for a module class with nn.LSTM's constructor arguments and state_dict names."""

    def build(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        options: dict[str, Any] = {
            "num_layers": config.num_layers if config.num_layers > 1 else None,
            "bias": None if config.bias else False,
            "batch_first": config.batch_first or None,
            "bidirectional": config.bidirectional or None,
            "proj_size": config.proj_size or None,
            "dropout": config.dropout or None,
        }
        given = {name: value for name, value in options.items() if value is not None}
        try:
            module = cls(config.input_size, config.hidden_size, **given)
        except TypeError as error:
            if given and "unexpected keyword" in str(error):
                raise Unsupported(str(error)) from error
            raise
        module = module.to(getattr(torch, config.dtype))
        module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in params.items()})
        module.train(config.training)

        def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
            with torch.no_grad():
                if state is None:
                    output, (h_n, c_n) = module(to_torch(x))
                else:
                    output, (h_n, c_n) = module(to_torch(x), (to_torch(state[0]), to_torch(state[1])))
            return output.numpy(), (h_n.numpy(), c_n.numpy())

        return forward

    return build


def to_torch(array: Array) -> torch.Tensor:
    """``array`` as a tensor over the same memory; a copy where torch has no such view.

    That is, of negative strides, and of memory that is read-only or not aligned.
    """
    if any(stride < 0 for stride in array.strides) or not array.flags.behaved:
        array = array.copy()
    return torch.from_numpy(array)
