"""jax.experimental.rnn.lstm_ref, the path beside cuDNN's that JAX keeps as a reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.jax_family.flax_rnn import PADDING
from implementations.jax_family.traced import model_of

CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    batch_first=True,
    time_major=False,
    lengths=True,
    gradients=True,
    dtypes=("float32", "float64", "float16", "bfloat16"),
    compiled=True,
    expected_failures=PADDING | finding("jax-01-shapes-unchecked", "refusals.lengths", "refusals.state-shape"),
)


def run(config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: Any) -> Any:
    """nn.LSTM's arrays in and out; lstm_ref always wants a state and int32 lengths."""
    from jax import numpy as jnp
    from jax.experimental import rnn

    rows, steps, _ = x.shape
    slots = config.slots()
    if state is None:
        state = (jnp.zeros((len(slots), rows, config.hidden_size), x.dtype),) * 2
    lengths = jnp.full(rows, steps, jnp.int32) if lengths is None else lengths.astype(jnp.int32)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    parts = ({k: weights[name + slot.suffix] for k, slot in enumerate(slots)} for name in names)
    sizes = config.input_size, config.hidden_size, config.num_layers, 0.0, config.bidirectional
    return rnn.lstm_ref(x, *state, *parts, lengths, *sizes)


@backend("jax-lstm-ref", CAPABILITIES, needs("jax", install="pip install jax"))
def jax_lstm_ref(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """Batch-first, stacks and two directions, with lengths."""
    return model_of(run, CAPABILITIES, config, params)
