"""What flax.nnx and flax.linen share: an RNN, or a Bidirectional of two, called as nn.LSTM is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig
from implementations.adapter import finding, needs, refusals
from implementations.options import refuse_slots

#: Of every library that computes the padding and leaves it out afterwards.
PADDING = finding("flax-01-length-zero", "degenerate.no-length")
PADDING |= finding("flax-02-nan-padding-gradient", "gradients.padding")
UNCHECKED = finding("flax-03-shapes-unchecked", *refusals("lengths", "reshaped-x", "batch-mismatch", "state-rank"))
CAPABILITIES = Capabilities(
    bidirectional=True,
    batch_first=True,
    unbatched=True,
    lengths=True,
    gradients=True,
    dtypes=("float32", "float64", "float16", "bfloat16"),
    compiled=True,
    expected_failures=PADDING | UNCHECKED,
)
available = needs("flax", install="pip install flax")


def called(layer: Callable[..., Any], config: LSTMConfig, x: Any, state: Any, lengths: Any) -> Any:
    """nn.LSTM's arrays in and out of ``layer(x, …) -> carry, output``. A carry is (c, h), for each direction."""
    from jax import numpy as jnp

    if x.ndim > 3:
        raise ValueError(f"at most three axes are wanted, got {x.shape}: flax documents any number of batch axes")
    refuse_slots(config, *(state or ()))
    carry = state and tuple((c, h) for h, c in zip(*state, strict=True))
    carry = carry if carry is None or config.bidirectional else carry[0]
    time_major = x.ndim == 3 and not config.batch_first
    carry, output = layer(x, initial_carry=carry, seq_lengths=lengths, return_carry=True, time_major=time_major)
    c_n, h_n = (jnp.stack(part) for part in zip(*(carry if config.bidirectional else [carry]), strict=True))
    if lengths is not None:
        # flax says that it leaves what is computed in the padding.
        valid = jnp.arange(x.shape[0 if time_major else 1])[:, None] < lengths  # (L, N)
        output = jnp.where((valid if time_major else valid.T)[..., None], output, 0)
    return output, h_n, c_n
