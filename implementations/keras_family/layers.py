"""What the three backends share: the layers of a model, their variables, and a call of all of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, guard
from conformance.spec import Array, State
from implementations.adapter import needs
from implementations.options import refuse_slots

CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    batch_first=True,
    time_major=False,
    lengths=True,
    gradients=True,
    dtypes=("float32", "float64"),
)


def checked(config: LSTMConfig, model: Any) -> Callable[..., Any]:
    """``model``, which refuses lengths that do not fit x: in the mask that Keras gets, they cannot be seen."""

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> Any:
        if lengths is not None:
            guard(config, x, None, lengths)
        return model(x, state, lengths)

    checking: Any = forward
    checking.vjp = model.vjp
    return checking


def unavailable(backend: str, package: str) -> str | None:
    """None, or why Keras cannot run here on ``backend``. The first to ask decides which one this process has."""
    if os.environ.setdefault("KERAS_BACKEND", backend) != backend:
        return f"KERAS_BACKEND is {os.environ['KERAS_BACKEND']} in this process, and Keras has one backend in each"
    return needs("keras", backend, install=f"pip install keras {package}")()


def layers_of(config: LSTMConfig, unroll: bool) -> list[Any]:
    """One keras.layers.LSTM for each layer, in a Bidirectional where there are two directions; all are built."""
    import keras

    layers, features = [], config.input_size
    for _ in range(config.num_layers):
        layer = keras.layers.LSTM(
            config.hidden_size,
            use_bias=config.bias,
            return_sequences=True,
            return_state=True,
            zero_output_for_mask=True,
            unroll=unroll,
            kernel_initializer="zeros",
            recurrent_initializer="zeros",
            dtype=config.dtype,
        )
        if config.bidirectional:
            layer = keras.layers.Bidirectional(layer, dtype=config.dtype)
        layer.build((None, None, features))
        layers.append(layer)
        features = config.num_directions * config.hidden_size
    return layers


def variables_of(config: LSTMConfig, transposed: Any, layer: int) -> list[Any]:
    """One layer's variables from nn.LSTM's transposed: gates i, f, c, o along the columns, and one bias."""
    found = []
    for slot in config.slots(layer):
        end = slot.suffix
        found += [transposed["weight_ih" + end], transposed["weight_hh" + end]]
        if config.bias:
            found.append(transposed["bias_ih" + end] + transposed["bias_hh" + end])
    return found


def gradients_of(config: LSTMConfig, found: list[Any]) -> dict[str, Any]:
    """nn.LSTM's gradients from those of all layers' variables, one after the other."""
    grads, left = {}, iter(found)
    for slot in config.slots():
        end = slot.suffix
        grads |= {"weight_ih" + end: next(left).T, "weight_hh" + end: next(left).T}
        if config.bias:
            grads["bias_ih" + end] = grads["bias_hh" + end] = next(left)
    return grads


def call(layers: list[Any], config: LSTMConfig, x: Any, state: Any, lengths: Any, variables: Any = None) -> Any:
    """x (N, L, I) and states (layers·D, N, H) -> output, h_n, c_n. ``variables`` may stand for the layers' own."""
    from keras import ops

    refuse_slots(config, *(state or ()))
    mask = None if lengths is None else ops.arange(x.shape[1], dtype="int64")[None] < lengths[:, None]
    final = []
    for k, layer in enumerate(layers):
        initial = state and [part[slot.position(config)] for slot in config.slots(k) for part in state]
        if variables is None:
            x, *states = layer(x, initial_state=initial, mask=mask)
        else:
            seeds = [variable.value for variable in layer.non_trainable_variables]
            (x, *states), _ = layer.stateless_call(variables[k], seeds, x, initial_state=initial, mask=mask)
        final += states
    return x, ops.stack(final[::2]), ops.stack(final[1::2])
