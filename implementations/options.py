"""What every adapter asks first: whether a model or a call wants an option that its library does not have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported
from conformance.spec import Array, State, state_shapes


def refuse(declared: Capabilities, config: LSTMConfig) -> None:
    """Raise ``Unsupported`` for the first option of ``config`` that is not declared."""
    wanted = {
        "layers": config.num_layers > 1,
        "bidirectional": config.bidirectional,
        "no_bias": not config.bias,
        "batch_first": config.batch_first,
        "time_major": not config.batch_first,
        "projection": config.proj_size > 0,
        "dropout": config.training and config.dropout > 0,
    }
    for option, asked in wanted.items():
        if asked and not getattr(declared, option):
            raise Unsupported(option)
    if config.dtype not in declared.dtypes:
        raise Unsupported(f"dtype {config.dtype}")


def refuse_call(declared: Capabilities, x: Array, state: State | None = None, lengths: Array | None = None) -> None:
    """Raise ``Unsupported`` for an x without rows, a state, or lengths, that are not declared."""
    if x.ndim == 2 and not declared.unbatched:
        raise Unsupported("unbatched")
    if state is not None and not declared.initial_state:
        raise Unsupported("initial_state")
    if lengths is not None and not declared.lengths:
        raise Unsupported("lengths")


def zeros(config: LSTMConfig, x: Array) -> State:
    """h_0 and c_0 of zeros for x, for a library that must be given a state."""
    rows = 1 if x.ndim == 2 else x.shape[0 if config.batch_first else 1]
    h, c = (np.zeros(shape, x.dtype) for shape in state_shapes(config, rows))
    return (h[:, 0], c[:, 0]) if x.ndim == 2 else (h, c)


def refuse_slots(config: LSTMConfig, *states: Any) -> None:
    """Raise ``ValueError`` unless each state has one entry for each layer and direction.

    An adapter that takes them apart would overlook others, before its library could refuse them.
    """
    wanted = len(config.slots())
    for state in states:
        if state.shape[0] != wanted:
            raise ValueError(f"a state for {wanted} layers and directions is wanted, got {tuple(state.shape)}")


def refuse_rows(config: LSTMConfig, x_t: Array, *states: Array) -> None:
    """Raise ``ValueError`` unless each state is (N, H), for a library whose cell has no way to be given one."""
    wanted = (len(x_t), config.hidden_size)
    for state in states:
        if state.shape != wanted:
            raise ValueError(f"a state {wanted} is wanted, got {state.shape}")


def refuse_cotangents(results: Iterable[Array], cotangents: Iterable[Array]) -> None:
    """Raise ``ValueError`` unless each cotangent has the shape of its result.

    A library that differentiates nothing but a number gets the sum of their products, and those would broadcast.
    """
    for result, cotangent in zip(results, cotangents, strict=True):
        if result.shape != cotangent.shape:
            raise ValueError(f"a cotangent {result.shape} is wanted, got {cotangent.shape}")
