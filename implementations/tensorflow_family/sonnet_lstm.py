"""dm-sonnet: snt.dynamic_unroll over an snt.LSTM, or an snt.DeepRNN of several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.options import refuse_slots
from implementations.tensorflow_family.taped import model_of

PADDING = finding("sonnet-02-nan-padding-gradient", "gradients.padding")
UNCHECKED = finding("sonnet-03-rows-and-lengths-unchecked", "refusals.batch-mismatch", "refusals.lengths")
CAPABILITIES = Capabilities(
    layers=True,
    projection=True,
    lengths=True,
    gradients=True,
    dtypes=("float32", "float64"),
    compiled=True,
    expected_failures=PADDING | UNCHECKED,
)
available = needs("sonnet", install="pip install dm-sonnet tensorflow-cpu")


def filled(core: Any, weights: Any, end: str) -> Any:
    """The core, with one layer's weights in place of its variables, so that their gradients are known."""
    import tensorflow as tf

    core._initialize = lambda inputs: None
    core._w_i, core._w_h = tf.transpose(weights["weight_ih" + end]), tf.transpose(weights["weight_hh" + end])
    core.b = weights["bias_ih" + end] + weights["bias_hh" + end]
    core.projection = tf.transpose(weights["weight_hr" + end]) if "weight_hr" + end in weights else None
    return core


def run(config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: Any) -> Any:
    """x (L, N, I)."""
    import sonnet as snt
    import tensorflow as tf

    refuse_slots(config, *(state or ()))
    ends = [slot.suffix for slot in config.slots()]
    sizes = config.hidden_size, config.proj_size or None
    core = snt.DeepRNN([filled(snt.LSTM(*sizes, dtype=x.dtype), weights, end) for end in ends])
    states = tuple(snt.LSTMState(h, c) for h, c in zip(*map(tf.unstack, state), strict=True)) if state else None
    rows = None if lengths is None else tf.cast(lengths, tf.int32)
    output, states = snt.dynamic_unroll(core, x, states or core.initial_state(x.shape[1]), rows)
    if rows is not None:
        valid = tf.range(len(x))[:, None] < rows  # (L, N); Sonnet repeats a row's last output in its padding
        output = tf.where(valid[..., None], output, 0)
    return output, tf.stack([s.hidden for s in states]), tf.stack([s.cell for s in states])


@backend("sonnet", CAPABILITIES, available)
def sonnet_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """snt.dynamic_unroll over snt.DeepRNN of snt.LSTM, in a tf.function."""
    return model_of(run, CAPABILITIES, config, params, graph=True)
