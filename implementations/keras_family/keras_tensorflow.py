"""keras.layers.LSTM and Bidirectional on TensorFlow, compiled as Keras' own ``predict`` compiles them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from conformance import LSTMConfig, backend
from conformance.spec import Array, Params, State
from implementations.keras_family.layers import CAPABILITIES, call, gradients_of, layers_of, unavailable, variables_of
from implementations.options import refuse, refuse_call, zeros

COMPILED = replace(CAPABILITIES, compiled=True)
available = partial(unavailable, "tensorflow", "tensorflow-cpu")


def model_of(unroll: bool, config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward`` and ``forward.vjp`` of the layers."""
    import tensorflow as tf

    refuse(COMPILED, config)
    layers = layers_of(config, unroll)
    for k, layer in enumerate(layers):
        layer.set_weights(variables_of(config, params, k))
    variables = [variable.value for layer in layers for variable in layer.trainable_variables]
    run = tf.function(partial(call, layers, config))

    @tf.function
    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((x, state))
            found = call(layers, config, x, state, lengths)
        sources = [x, *state, *variables]
        return found, tape.gradient(found, sources, cotangents, tf.UnconnectedGradients.ZERO)

    def tensors(*arguments: Any) -> Any:
        return tf.nest.map_structure(lambda array: None if array is None else tf.constant(array), arguments)

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (N, L, I) -> output (N, L, D·H), (h_n, c_n)."""
        refuse_call(COMPILED, x, lengths)
        output, h_n, c_n = (np.array(part) for part in run(*tensors(x, state, lengths)))
        return output, (h_n, c_n)

    def vjp(x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
        """What ``forward`` returns, and the gradients by name."""
        refuse_call(COMPILED, x, lengths)
        found, grads = differentiate(*tensors(x, zeros(config, x) if state is None else state, lengths, cotangents))
        (output, h_n, c_n), grads = map(np.array, found), [np.array(grad) for grad in grads]
        inputs = dict(zip(("x", "h_0", "c_0"), grads, strict=False))
        return (output, (h_n, c_n)), inputs | gradients_of(config, grads[3:])

    model: Any = forward
    model.vjp = vjp
    return model


@backend("keras-tensorflow", COMPILED, available)
def keras_tensorflow(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """A tf.while_loop over the steps."""
    return model_of(False, config, params)


@backend("keras-tensorflow-unroll", COMPILED, available)
def keras_tensorflow_unroll(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """With unroll=True: a loop of Python's, traced."""
    return model_of(True, config, params)
