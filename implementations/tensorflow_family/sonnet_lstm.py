"""dm-sonnet: snt.dynamic_unroll over an snt.LSTM, or an snt.DeepRNN of several; snt.UnrolledLSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import needs
from implementations.options import refuse_slots
from implementations.tensorflow_family.block_lstm import GATES, NO_ROWS
from implementations.tensorflow_family.taped import model_of

# It calls BlockLSTMV2.
UNROLLED_FAILURES = dict.fromkeys(GATES, "docs/findings/sonnet-01-unrolled-gradient.md") | NO_ROWS
CAPABILITIES = Capabilities(
    layers=True, projection=True, lengths=True, gradients=True, dtypes=("float32", "float64"), compiled=True
)
UNROLLED = Capabilities(gradients=True, expected_failures=UNROLLED_FAILURES)
available = needs("sonnet", install="pip install dm-sonnet tensorflow-cpu")


def fill(core: Any, weights: Any, end: str) -> None:
    """Put one layer's weights in place of the core's variables, so that their gradients are known."""
    import tensorflow as tf

    core._initialize = lambda inputs: None
    core._w_i, core._w_h = tf.transpose(weights["weight_ih" + end]), tf.transpose(weights["weight_hh" + end])
    core.b = weights["bias_ih" + end] + weights["bias_hh" + end]
    if "weight_hr" + end in weights:
        core.projection = tf.transpose(weights["weight_hr" + end])
    else:
        core.projection = None


def run(config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: Any) -> Any:
    """x (L, N, I)."""
    import sonnet as snt
    import tensorflow as tf

    refuse_slots(config, *(state or ()))
    cores = []
    for k in range(config.num_layers):
        core = snt.LSTM(config.hidden_size, config.proj_size or None, dtype=x.dtype)
        fill(core, weights, f"_l{k}")
        cores.append(core)
    core, lengths = snt.DeepRNN(cores), None if lengths is None else tf.cast(lengths, tf.int32)
    states = tuple(snt.LSTMState(h, c) for h, c in zip(*map(tf.unstack, state), strict=True)) if state else None
    output, states = snt.dynamic_unroll(core, x, states or core.initial_state(x.shape[1]), lengths)
    if lengths is not None:
        # Sonnet repeats a row's last output in its padding.
        valid = tf.range(len(x))[:, None] < lengths  # (L, N)
        output = tf.where(valid[..., None], output, 0)
    return output, tf.stack([s.hidden for s in states]), tf.stack([s.cell for s in states])


def run_unrolled(config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: None) -> Any:
    """x (L, N, I)."""
    import sonnet as snt

    refuse_slots(config, *(state or ()))
    core = snt.UnrolledLSTM(config.hidden_size, dtype=x.dtype)
    fill(core, weights, "_l0")
    output, state = core(x, snt.LSTMState(*(part[0] for part in state)) if state else core.initial_state(x.shape[1]))
    return output, state.hidden[None], state.cell[None]


@backend("sonnet", CAPABILITIES, available)
def sonnet_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """snt.dynamic_unroll over snt.DeepRNN of snt.LSTM, in a tf.function."""
    return model_of(run, CAPABILITIES, config, params, graph=True)


@backend("sonnet-unrolled", UNROLLED, available)
def sonnet_unrolled(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """snt.UnrolledLSTM."""
    return model_of(run_unrolled, UNROLLED, config, params)
