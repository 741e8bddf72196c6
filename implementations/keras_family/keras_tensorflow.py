"""keras.layers.LSTM and Bidirectional on TensorFlow, traced as Keras' own ``predict`` traces them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

from conformance import LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding
from implementations.keras_family.layers import CAPABILITIES, call, checked, layers_of, unavailable, variables_of
from implementations.tensorflow_family.taped import model_of

PADDING = finding("keras-07-tensorflow-nan-padding-gradient", "gradients.padding")
STATES = finding("keras-10-tensorflow-one-row", "refusals.batch-mismatch")
COMPILED = replace(CAPABILITIES, compiled=True, expected_failures=PADDING | STATES)
# Without lengths: docs/findings/keras-03-tensorflow-unroll-backwards-mask.md.
UNROLLED = replace(CAPABILITIES, compiled=True, lengths=False, expected_failures=STATES)
available = partial(unavailable, "tensorflow", "tensorflow-cpu")
layers_for = cache(layers_of)


def run(unroll: bool, config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: Any) -> Any:
    """nn.LSTM's arrays in and out."""
    import tensorflow as tf

    matrices = {name: tf.transpose(value) for name, value in weights.items()}
    variables = [variables_of(config, matrices, k) for k in range(config.num_layers)]
    return call(layers_for(config, unroll), config, x, state, lengths, variables)


run_loop, run_unrolled = partial(run, False), partial(run, True)


@backend("keras-tensorflow", COMPILED, available)
def keras_tensorflow(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """A tf.while_loop over the steps."""
    return checked(config, model_of(run_loop, COMPILED, config, params, graph=True))


@backend("keras-tensorflow-unroll", UNROLLED, available)
def keras_tensorflow_unroll(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """With unroll=True: a loop of Python's, traced."""
    return checked(config, model_of(run_unrolled, UNROLLED, config, params, graph=True))
