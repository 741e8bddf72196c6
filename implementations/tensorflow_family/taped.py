"""What a backend made of TensorFlow needs: ``forward`` and ``forward.vjp`` of a function of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig
from conformance.spec import Params
from implementations import model
from implementations.options import refuse


def model_of(
    run: Callable[..., Any], declared: Capabilities, config: LSTMConfig, params: Params, graph: bool = False
) -> Callable[..., Any]:
    """``run(config, weights, x, state, lengths) -> output, h_n, c_n``, all tensors, as a backend's model.

    With ``graph``, it is traced by a tf.function. Raises ``Unsupported`` for options that are not declared.
    """
    import tensorflow as tf

    refuse(declared, config)
    weights = {name: tf.constant(np.array(value)) for name, value in params.items()}

    def call(x: Any, state: Any, lengths: Any) -> Any:
        return run(config, weights, x, state, lengths)

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        sources = {"x": x, "h_0": state[0], "c_0": state[1], **weights}
        with tf.GradientTape() as tape:
            tape.watch(sources)
            found = run(config, weights, x, state, lengths)
        return found, tape.gradient(found, sources, cotangents, tf.UnconnectedGradients.ZERO)

    def on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
        function = tf.function(function) if graph else function

        def with_arrays(*arguments: Any) -> Any:
            given = (None if part is None else tf.constant(np.array(part)) for part in tf.nest.flatten(arguments))
            return tf.nest.map_structure(np.array, function(*tf.nest.pack_sequence_as(arguments, list(given))))

        return with_arrays

    return model.model_of(declared, config, on_arrays(call), on_arrays(differentiate))
