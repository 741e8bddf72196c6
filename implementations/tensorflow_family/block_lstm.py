"""TensorFlow's fused kernels, tf.raw_ops.BlockLSTM (gates i, c, f, o) and BlockLSTMV2 (i, f, c, o), with gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.options import refuse_slots
from implementations.tensorflow_family.taped import model_of

NO_ROWS = finding("tensorflow-02-block-no-rows-uninitialised", "gradients.no-rows")
WRONG = ("preactivations", "dyadic", "untapped", "input", "long", "large", "equal-sizes")
GATES = finding("tensorflow-01-block-v2-gradient", *(f"gradients.{name}" for name in WRONG))
CAPABILITIES = Capabilities(gradients=True, expected_failures=NO_ROWS)
CAPABILITIES_2 = Capabilities(gradients=True, expected_failures=NO_ROWS | GATES)
available = needs("tensorflow", install="pip install tensorflow-cpu")


def run(version: int, config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: None) -> Any:
    """x (L, N, I). One matrix (I + H, 4H) and one bias; forget_bias and cell_clip are on unless they are turned off."""
    import tensorflow as tf

    h_0, c_0 = [tf.zeros([1, x.shape[1], config.hidden_size], x.dtype)] * 2 if state is None else state
    refuse_slots(config, h_0, c_0)
    bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]
    matrix = tf.concat([tf.transpose(weights["weight_ih_l0"]), tf.transpose(weights["weight_hh_l0"])], 0)
    peephole = tf.zeros(config.hidden_size, x.dtype)
    inputs = {"seq_len_max": len(x), "x": x, "cs_prev": c_0[0], "h_prev": h_0[0]}
    inputs |= {"wci": peephole, "wcf": peephole, "wco": peephole}
    if version == 1:
        i, f, g, o = tf.split(tf.concat([matrix, bias[None]], 0), 4, 1)
        packed = tf.concat([i, g, f, o], 1)
        options = {"w": packed[:-1], "b": packed[-1], "forget_bias": 0.0, "cell_clip": -1.0}
        found = tf.raw_ops.BlockLSTM(**inputs, **options)
    else:
        found = tf.raw_ops.BlockLSTMV2(**inputs, w=matrix, b=bias, cell_clip=0.0)
    # The kernels return every step's state, but no last one: with no steps it is the initial one.
    return found.h, tf.concat([h_0, found.h], 0)[-1:], tf.concat([c_0, found.cs], 0)[-1:]


run_1, run_2 = partial(run, 1), partial(run, 2)


@backend("tensorflow-block", CAPABILITIES, available)
def tensorflow_block(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """tf.raw_ops.BlockLSTM."""
    return model_of(run_1, CAPABILITIES, config, params)


@backend("tensorflow-block-v2", CAPABILITIES_2, available)
def tensorflow_block_v2(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """tf.raw_ops.BlockLSTMV2."""
    return model_of(run_2, CAPABILITIES_2, config, params)
