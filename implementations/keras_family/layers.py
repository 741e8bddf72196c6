"""What the three backends share: the layers of a model, their variables, and a call of all of them."""

from __future__ import annotations

import os
from typing import Any

from conformance import Capabilities, LSTMConfig
from implementations.install import needs

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


def variables_of(config: LSTMConfig, params: Any, layer: int) -> list[Any]:
    """One layer's variables, as arrays or tensors like ``params``: gates i, f, c, o along the columns, one bias."""
    found = []
    for slot in config.slots(layer):
        end = slot.suffix
        found += [params["weight_ih" + end].T, params["weight_hh" + end].T]
        if config.bias:
            found.append(params["bias_ih" + end] + params["bias_hh" + end])
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

    slots = config.slots()
    if state is not None and not len(slots) == state[0].shape[0] == state[1].shape[0]:
        raise ValueError(f"states for {len(slots)} slots are wanted, got {state[0].shape} and {state[1].shape}")
    mask = None if lengths is None else ops.arange(x.shape[1])[None] < lengths[:, None]
    final = []
    for k, layer in enumerate(layers):
        initial = state and [part[slot.position(config)] for slot in config.slots(k) for part in state]
        if variables is None:
            x, *states = layer(x, initial_state=initial, mask=mask)
        else:
            (x, *states), _ = layer.stateless_call(variables[k], [], x, initial_state=initial, mask=mask)
        final += states
    return x, ops.stack(final[::2]), ops.stack(final[1::2])
