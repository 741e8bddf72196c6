"""flax.linen: RNN and Bidirectional over an LSTMCell or an OptimizedLSTMCell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from conformance import LSTMConfig, backend
from conformance.spec import Params
from implementations.jax_family.flax_nnx import CAPABILITIES, available
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
    """nn.LSTM's arrays in and out. A carry of linen is (c, h)."""
    from flax import linen
    from jax import numpy as jnp

    kind = linen.OptimizedLSTMCell if optimized else linen.LSTMCell
    ends = ("_l0", "_l0_reverse") if config.bidirectional else ("_l0",)
    cells = [kind(config.hidden_size, param_dtype=config.dtype) for _ in ends]
    layer = linen.Bidirectional(*map(linen.RNN, cells)) if config.bidirectional else linen.RNN(cells[0])
    carries = None if state is None else tuple((c, h) for h, c in zip(*state, strict=True))
    if carries is not None and len(carries) != len(ends):
        raise ValueError(f"a state for {len(ends)} directions is wanted, got {len(carries)}")
    time_major = x.ndim == 3 and not config.batch_first
    carry = carries if carries is None or config.bidirectional else carries[0]
    of_cells = [{"cell": variables(weights, end)} for end in ends]
    of_layer = dict(zip(("forward_rnn", "backward_rnn"), of_cells, strict=False)) if len(ends) == 2 else of_cells[0]
    options = {"initial_carry": carry, "seq_lengths": lengths, "return_carry": True, "time_major": time_major}
    carry, output = layer.apply({"params": of_layer}, x, **options)
    c_n, h_n = (jnp.stack(part) for part in zip(*(carry if config.bidirectional else [carry]), strict=True))
    if lengths is not None:
        # flax says that it leaves what is computed in the padding.
        valid = jnp.arange(x.shape[0 if time_major else 1])[:, None] < lengths  # (L, N)
        output = jnp.where((valid if time_major else valid.T)[..., None], output, 0)
    return output, h_n, c_n


run_plain, run_optimized = partial(run, False), partial(run, True)


@backend("flax-linen", CAPABILITIES, available)
def flax_linen(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """linen.RNN over linen.LSTMCell, which has a product for each gate."""
    return model_of(run_plain, CAPABILITIES, config, params)


@backend("flax-linen-optimized", CAPABILITIES, available)
def flax_linen_optimized(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """linen.RNN over linen.OptimizedLSTMCell, which has two products."""
    return model_of(run_optimized, CAPABILITIES, config, params)
