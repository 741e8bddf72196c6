"""flax.nnx: RNN and Bidirectional over an LSTMCell or an OptimizedLSTMCell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import needs
from implementations.jax_family.traced import model_of

#: Of every library that computes the padding and leaves it out afterwards.
PADDING = {
    "degenerate.no-length": "docs/findings/flax-01-length-zero.md",
    "gradients.padding": "docs/findings/flax-02-nan-padding-gradient.md",
}
CAPABILITIES = Capabilities(
    bidirectional=True,
    batch_first=True,
    unbatched=True,
    lengths=True,
    gradients=True,
    dtypes=("float32", "float64", "float16", "bfloat16"),
    compiled=True,
    expected_failures=PADDING,
)
available = needs("flax", install="pip install flax")


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
    """nn.LSTM's arrays in and out. A carry of nnx is (c, h)."""
    from flax import nnx
    from jax import numpy as jnp

    ends = ("_l0", "_l0_reverse") if config.bidirectional else ("_l0",)
    rnns = [direction(optimized, config, weights, end) for end in ends]
    layer = nnx.Bidirectional(*rnns) if config.bidirectional else rnns[0]
    carries = None if state is None else tuple((c, h) for h, c in zip(*state, strict=True))
    if carries is not None and len(carries) != len(rnns):
        raise ValueError(f"a state for {len(rnns)} directions is wanted, got {len(carries)}")
    time_major = x.ndim == 3 and not config.batch_first
    carry = carries if carries is None or config.bidirectional else carries[0]
    carry, output = layer(x, initial_carry=carry, seq_lengths=lengths, return_carry=True, time_major=time_major)
    c_n, h_n = (jnp.stack(part) for part in zip(*(carry if config.bidirectional else [carry]), strict=True))
    if lengths is not None:
        # flax says that it leaves what is computed in the padding.
        valid = jnp.arange(x.shape[0 if time_major else 1])[:, None] < lengths  # (L, N)
        output = jnp.where((valid if time_major else valid.T)[..., None], output, 0)
    return output, h_n, c_n


run_plain, run_optimized = partial(run, False), partial(run, True)


@backend("flax-nnx", CAPABILITIES, available)
def flax_nnx(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """nnx.RNN over nnx.LSTMCell, which has a product for each gate."""
    return model_of(run_plain, CAPABILITIES, config, params)


@backend("flax-nnx-optimized", CAPABILITIES, available)
def flax_nnx_optimized(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """nnx.RNN over nnx.OptimizedLSTMCell, which has one product."""
    return model_of(run_optimized, CAPABILITIES, config, params)
