"""flax.linen: RNN and Bidirectional over an LSTMCell or an OptimizedLSTMCell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from conformance import LSTMConfig, backend
from conformance.spec import Params
from implementations.jax_family.flax_rnn import CAPABILITIES, available, called
from implementations.jax_family.traced import model_of


def variables(weights: Any, end: str) -> Any:
    """The parameters of one cell: for each gate a kernel of x, and one of h with the only bias."""
    from jax import numpy as jnp

    bias = weights["bias_ih" + end] + weights["bias_hh" + end]
    parts = weights["weight_ih" + end].T, weights["weight_hh" + end].T, bias
    found = {}
    for gate, w_x, w_h, b in zip("ifgo", *(jnp.split(part, 4, axis=-1) for part in parts), strict=True):
        found |= {"i" + gate: {"kernel": w_x}, "h" + gate: {"kernel": w_h, "bias": b}}
    return found


def run(optimized: bool, config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: Any) -> Any:
    """nn.LSTM's arrays in and out."""
    from flax import linen

    kind = linen.OptimizedLSTMCell if optimized else linen.LSTMCell
    rnns = [linen.RNN(kind(config.hidden_size, param_dtype=config.dtype)) for _ in config.slots()]
    cells = [{"cell": variables(weights, slot.suffix)} for slot in config.slots()]
    layer, of_layer = rnns[0], cells[0]
    if config.bidirectional:
        layer, of_layer = linen.Bidirectional(*rnns), dict(zip(("forward_rnn", "backward_rnn"), cells, strict=True))
    return called(partial(layer.apply, {"params": of_layer}), config, x, state, lengths)


run_plain, run_optimized = partial(run, False), partial(run, True)


@backend("flax-linen", CAPABILITIES, available)
def flax_linen(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """linen.RNN over linen.LSTMCell, which has a product for each gate."""
    return model_of(run_plain, CAPABILITIES, config, params)


@backend("flax-linen-optimized", CAPABILITIES, available)
def flax_linen_optimized(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """linen.RNN over linen.OptimizedLSTMCell, which has two products."""
    return model_of(run_optimized, CAPABILITIES, config, params)
