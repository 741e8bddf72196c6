"""keras.layers.LSTM and Bidirectional on JAX, compiled as Keras' own ``predict`` compiles them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

from conformance import LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding
from implementations.jax_family.traced import model_of
from implementations.keras_family.layers import CAPABILITIES, call, checked, layers_of, unavailable, variables_of

PADDING = finding("keras-06-jax-nan-padding-gradient", "gradients.padding")
# Without float64: docs/findings/keras-09-jax-float64-tanh.md.
FLOAT32 = replace(CAPABILITIES, compiled=True, dtypes=("float32",))
COMPILED = replace(FLOAT32, expected_failures=PADDING)
# Without lengths: docs/findings/keras-04-jax-unroll-ignores-zero-output.md.
UNROLLED = replace(FLOAT32, lengths=False)
available = partial(unavailable, "jax", "jax")
layers_for = cache(layers_of)


def run(unroll: bool, config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: Any) -> Any:
    """nn.LSTM's arrays in and out."""
    matrices = {name: value.T for name, value in weights.items()}
    variables = [variables_of(config, matrices, k) for k in range(config.num_layers)]
    return call(layers_for(config, unroll), config, x, state, lengths, variables)


run_scan, run_unrolled = partial(run, False), partial(run, True)


@backend("keras-jax", COMPILED, available)
def keras_jax(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """A jax.lax.scan over the steps."""
    return checked(config, model_of(run_scan, COMPILED, config, params))


@backend("keras-jax-unroll", UNROLLED, available)
def keras_jax_unroll(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """With unroll=True: a loop of Python's, traced."""
    return checked(config, model_of(run_unrolled, UNROLLED, config, params))
