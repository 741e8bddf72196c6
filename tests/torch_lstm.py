"""torch.nn.LSTM with a config and params of the suite's: the witness that tests compare with."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from conformance.reference.backward import Gradients
from conformance.spec import Array, LSTMConfig, Params, State, state_shapes

Results = tuple[Array, State]


def module_of(config: LSTMConfig, params: Params | None = None) -> torch.nn.LSTM:
    """The module of a config, in its dtype."""
    module = torch.nn.LSTM(
        *(config.input_size, config.hidden_size, config.num_layers, config.bias, config.batch_first),
        bidirectional=config.bidirectional,
        proj_size=config.proj_size,
        dtype=getattr(torch, config.dtype),
    )
    if params is not None:
        module.load_state_dict({name: torch.tensor(value) for name, value in params.items()})
    return module


def _call(
    module: torch.nn.LSTM, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor], lengths: Array | None
) -> list[torch.Tensor]:
    """output, h_n and c_n; rows of different length packed."""
    read, first = x, module.batch_first
    if lengths is not None:
        read = pack_padded_sequence(x, torch.tensor(lengths), first, enforce_sorted=False)
    output, finals = module(read, state)
    if lengths is not None:
        output, _ = pad_packed_sequence(output, first, total_length=x.shape[1 if first else 0])
    return [output, *finals]


def _inputs(config: LSTMConfig, x: Array, state: State | None) -> list[torch.Tensor]:
    """x, h_0 and c_0 in the config's dtype; a state of zeros where there is none."""
    if state is None:
        h_0, c_0 = map(np.zeros, state_shapes(config, x.shape[0 if config.batch_first else 1] if x.ndim == 3 else 1))
        state = (h_0, c_0) if x.ndim == 3 else (h_0[:, 0], c_0[:, 0])
    return [torch.tensor(np.ascontiguousarray(part, config.dtype), requires_grad=True) for part in (x, *state)]


def forward(config: LSTMConfig, params: Params, x: Array, state: State | None, lengths: Array | None) -> Results:
    """``output, (h_n, c_n)`` in the config's dtype."""
    given, h_0, c_0 = _inputs(config, x, state)
    results = _call(module_of(config, params), given, (h_0, c_0), lengths)
    output, h_n, c_n = (part.detach().numpy() for part in results)
    return output, (h_n, c_n)


def vjp(
    config: LSTMConfig, params: Params, x: Array, state: State | None, lengths: Array | None, *cotangents: Array
) -> tuple[Results, Gradients]:
    """``((output, (h_n, c_n)), grads)`` in the config's dtype, by autograd."""
    module = module_of(config, params)
    given, h_0, c_0 = _inputs(config, x, state)
    results = _call(module, given, (h_0, c_0), lengths)
    inputs = {"x": given, "h_0": h_0, "c_0": c_0, **dict(module.named_parameters())}
    upstream = [torch.tensor(np.ascontiguousarray(part, config.dtype)) for part in cotangents]
    grads = torch.autograd.grad(results, list(inputs.values()), upstream)
    output, h_n, c_n = (part.detach().numpy() for part in results)
    return (output, (h_n, c_n)), {name: grad.numpy() for name, grad in zip(inputs, grads, strict=True)}
