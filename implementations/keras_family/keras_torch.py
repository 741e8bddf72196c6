"""keras.layers.LSTM and Bidirectional on torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params
from implementations.adapter import STATES_UNCHECKED, finding
from implementations.keras_family import layers
from implementations.options import refuse
from implementations.torch_libraries import autograd

PADDING = finding("keras-05-torch-nan-padding-gradient", "gradients.padding")
STATES = finding("keras-08-torch-state-broadcast", *STATES_UNCHECKED)
FLOAT32 = replace(layers.CAPABILITIES, dtypes=("float32",), expected_failures=PADDING | STATES)
# Without lengths: docs/findings/keras-02-torch-unroll-backwards-mask.md, keras-01-torch-float64-in-float32.md.
UNROLLED = replace(layers.CAPABILITIES, dtypes=("float32",), lengths=False)
FLOAT64 = replace(layers.CAPABILITIES, dtypes=("float64",), lengths=False)
available = partial(layers.unavailable, "torch", "torch")


def model_of(declared: Capabilities, unroll: bool, config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward`` and ``forward.vjp`` of the layers."""
    refuse(declared, config)
    stack = layers.layers_of(config, unroll)
    matrices = {name: value.T for name, value in params.items()}
    for k, layer in enumerate(stack):
        layer.set_weights(layers.variables_of(config, matrices, k))
    leaves = dict(enumerate(variable.value for layer in stack for variable in layer.trainable_variables))

    def run(x: Any, state: Any, lengths: Any = None) -> Any:
        output, h_n, c_n = layers.call(stack, config, x, state, lengths)
        return output, (h_n, c_n)

    def packed(grads: dict[Any, Array]) -> dict[str, Array]:
        return layers.gradients_of(config, [grads[k] for k in leaves])

    return layers.checked(config, autograd.model_of(declared, config, run, leaves, packed))


@backend("keras-torch", FLOAT32, available)
def keras_torch(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """Keras' own loop over the steps; with lengths, its loop with a mask."""
    return model_of(FLOAT32, False, config, params)


@backend("keras-torch-unroll", UNROLLED, available)
def keras_torch_unroll(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """With unroll=True."""
    return model_of(UNROLLED, True, config, params)


@backend("keras-torch-float64", FLOAT64, available)
def keras_torch_float64(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``keras_torch`` with dtype="float64"."""
    return model_of(FLOAT64, False, config, params)
