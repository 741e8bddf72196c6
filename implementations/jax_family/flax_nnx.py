"""flax.nnx: RNN and Bidirectional over an LSTMCell or an OptimizedLSTMCell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from conformance import LSTMConfig, backend
from conformance.spec import Params
from implementations.jax_family.flax_rnn import CAPABILITIES, available, called
from implementations.jax_family.traced import model_of


def direction(optimized: bool, config: LSTMConfig, weights: Any, end: str) -> Any:
    """One nnx.RNN with the weights whose names end in ``end``. nnx has one bias, and columns for nn.LSTM's rows."""
    from flax import nnx
    from jax import numpy as jnp

    kind = nnx.OptimizedLSTMCell if optimized else nnx.LSTMCell
    cell = kind(config.input_size, config.hidden_size, param_dtype=config.dtype, rngs=nnx.Rngs(0))
    w_x, w_h = weights["weight_ih" + end].T, weights["weight_hh" + end].T
    bias = weights["bias_ih" + end] + weights["bias_hh" + end]
    if optimized:
        cell.dense_i.kernel[...], cell.dense_h.kernel[...], cell.dense_h.bias[...] = w_x, w_h, bias
    else:
        of_x, of_h = (cell.ii, cell.if_, cell.ig, cell.io), (cell.hi, cell.hf, cell.hg, cell.ho)
        for gate, part in enumerate(zip(*(jnp.split(a, 4, axis=-1) for a in (w_x, w_h, bias)), strict=True)):
            of_x[gate].kernel[...], of_h[gate].kernel[...], of_h[gate].bias[...] = part
    return nnx.RNN(cell)


def run(optimized: bool, config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: Any) -> Any:
    """nn.LSTM's arrays in and out."""
    from flax import nnx

    rnns = [direction(optimized, config, weights, slot.suffix) for slot in config.slots()]
    return called(nnx.Bidirectional(*rnns) if config.bidirectional else rnns[0], config, x, state, lengths)


run_plain, run_optimized = partial(run, False), partial(run, True)


@backend("flax-nnx", CAPABILITIES, available)
def flax_nnx(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """nnx.RNN over nnx.LSTMCell, which has a product for each gate."""
    return model_of(run_plain, CAPABILITIES, config, params)


@backend("flax-nnx-optimized", CAPABILITIES, available)
def flax_nnx_optimized(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """nnx.RNN over nnx.OptimizedLSTMCell, which has one product."""
    return model_of(run_optimized, CAPABILITIES, config, params)
