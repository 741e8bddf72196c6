"""What a backend made of TensorFlow needs: ``forward`` and ``forward.vjp`` of a function of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig
from conformance.spec import Array, Params, State
from implementations.options import refuse, refuse_call, zeros


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

    if graph:
        call, differentiate = tf.function(call), tf.function(differentiate)

    def tensors(x: Array, *more: Any) -> Any:
        return tf.nest.map_structure(lambda part: None if part is None else tf.constant(np.array(part)), (x, *more))

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x in the config's layout -> output in x's layout, (h_n, c_n)."""
        refuse_call(declared, x, lengths)
        output, h_n, c_n = (np.array(part) for part in call(*tensors(x, state, lengths)))
        return output, (h_n, c_n)

    def vjp(x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
        """What ``forward`` returns, and the gradients by name."""
        refuse_call(declared, x, lengths)
        given = x, zeros(config, x) if state is None else state, lengths
        found, grads = differentiate(*tensors(*given, cotangents))
        output, h_n, c_n = (np.array(part) for part in found)
        return (output, (h_n, c_n)), {name: np.array(grad) for name, grad in grads.items()}

    model: Any = forward
    model.vjp = vjp
    return model
