"""torch.nn.LSTM with a config and params of the suite's: the witness that tests compare with."""

from __future__ import annotations

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from conformance.spec import Array, LSTMConfig, Params

Tensors = tuple[torch.Tensor, torch.Tensor]


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


def call(
    module: torch.nn.LSTM, x: torch.Tensor, state: Tensors | None, lengths: Array | None
) -> tuple[torch.Tensor, Tensors]:
    """``output, (h_n, c_n)``, rows of different length packed."""
    if lengths is None:
        return module(x, state)
    first = module.batch_first
    packed, finals = module(pack_padded_sequence(x, torch.tensor(lengths), first, enforce_sorted=False), state)
    return pad_packed_sequence(packed, first, total_length=x.shape[1 if first else 0])[0], finals
