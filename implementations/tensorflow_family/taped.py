"""What a backend made of TensorFlow needs: ``forward`` and ``forward.vjp`` of a function of tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig
from conformance.spec import Params
from implementations import model
from implementations.options import refuse, refuse_cotangents

#: ``run(config, weights, x, state, lengths) -> output, h_n, c_n``, all tensors, by nn.LSTM's names and shapes.
Run = Callable[..., Any]


def model_of(
    run: Run, declared: Capabilities, config: LSTMConfig, params: Params, graph: bool = False
) -> Callable[..., Any]:
    """``forward`` and ``forward.vjp`` of ``run``, ``traced`` if ``graph``; ``Unsupported`` for what is not declared."""
    import tensorflow as tf

    refuse(declared, config)
    weights = {name: tf.constant(np.array(value)) for name, value in params.items()}
    call, differentiate = (traced if graph else functions)(run, config)

    def on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
        return model.on_tensors(partial(function, weights), lambda array: tf.constant(np.array(array)))

    return model.model_of(declared, config, on_arrays(call), on_arrays(differentiate))


def functions(run: Run, config: LSTMConfig) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """``run`` and its gradient, of the weights and the call's tensors."""
    import tensorflow as tf

    def differentiate(weights: Any, x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        # Each library has one bias. Of two that are added, GradientTape leaks the gradient that they share:
        # docs/findings/tensorflow-03-shared-gradient-leaks.md.
        leaves = {name: leaf for name, leaf in weights.items() if not name.startswith("bias_hh")}
        sources = {"x": x, "h_0": state[0], "c_0": state[1], **leaves}
        with tf.GradientTape() as tape:
            tape.watch(sources)
            found = run(config, weights, x, state, lengths)
        refuse_cotangents(found, cotangents)
        grads: Any = tape.gradient(found, sources, cotangents, tf.UnconnectedGradients.ZERO)
        return found, model.one_bias(grads)

    return partial(run, config), differentiate


@cache
def traced(run: Run, config: LSTMConfig) -> tuple[Callable[..., Any], ...]:
    """``functions``, traced once for all models of a config and all calls of a shape."""
    import tensorflow as tf

    return tuple(map(tf.function, functions(run, config)))
