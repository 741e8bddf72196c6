"""The LSTM layers of a .keras file, alone or in a Bidirectional, each on Keras' backend of this process.

A .keras file describes objects that Keras makes when it loads it. ``safe_mode`` refuses those that carry code of their
own; still, read none from whom you do not trust.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig
from conformance.backend import Backend
from conformance.errors import UsageError
from conformance.spec import Array, State
from conformance.targets.exported import Exported
from implementations.adapter import require
from implementations.keras_family import layers

#: The backends of Keras, those that need no compiler first.
_BACKENDS = ("torch", "tensorflow", "jax")


def read(path: Path) -> tuple[Exported, ...]:
    """Its LSTM layers, in the order of the model."""
    require("keras", install="pip install keras torch")
    installed = [name for name in _BACKENDS if find_spec(name)]
    if not installed:
        raise UsageError("Keras has no backend here", "pip install torch")
    backend = os.environ.setdefault("KERAS_BACKEND", installed[0])
    import keras

    model: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    found = [*_layers(model)]
    if not found:
        raise UsageError("no keras.layers.LSTM is in it")
    return tuple(_exported(layer, backend) for layer in found)


def _layers(layer: Any) -> Iterator[Any]:
    """The LSTMs of a layer, a Bidirectional of one as a whole."""
    import keras

    if isinstance(layer, keras.layers.LSTM) or (
        isinstance(layer, keras.layers.Bidirectional) and isinstance(layer.forward_layer, keras.layers.LSTM)
    ):
        yield layer
        return
    for part in getattr(layer, "layers", None) or filter(None, [getattr(layer, "layer", None)]):
        yield from _layers(part)


def _exported(layer: Any, backend: str) -> Exported:
    both = [layer.forward_layer, layer.backward_layer] if hasattr(layer, "forward_layer") else [layer]
    first = both[0]
    kernel = np.asarray(first.get_weights()[0])
    config = LSTMConfig(
        kernel.shape[0],
        first.units,
        bias=first.use_bias,
        batch_first=True,
        bidirectional=len(both) == 2,
        dtype=kernel.dtype.name,
    )
    params: dict[str, Array] = {}
    for slot, part in zip(config.slots(), both, strict=True):
        W, R, *bias = (np.asarray(value) for value in part.get_weights())
        params |= {"weight_ih" + slot.suffix: W.T.copy(), "weight_hh" + slot.suffix: R.T.copy()}
        for name, value in zip(("bias_ih", "bias_hh"), (*bias, *map(np.zeros_like, bias)), strict=False):
            params[name + slot.suffix] = value
    declared = Capabilities(batch_first=True, time_major=False, compiled=backend != "torch", threads=False)
    runtime = Backend(f"keras-{backend}", declared, partial(_build, layer, config))
    return Exported(layer.name, config, params, (runtime,), note=_note(layer, first))


def _note(layer: Any, first: Any) -> str:
    """What of a layer nn.LSTM does not have, and how it is run."""
    import keras

    told = [
        f"{name}={keras.activations.serialize(getattr(first, name))}"
        for name, usual in (("activation", "tanh"), ("recurrent_activation", "sigmoid"))
        if keras.activations.serialize(getattr(first, name)) != usual
    ]
    if getattr(layer, "merge_mode", "concat") != "concat":
        told.append(f"merge_mode={layer.merge_mode}")
    words = [f"it has {' and '.join(told)}, and nn.LSTM has not"] * bool(told)
    words.append("the layer is made again from its own settings and weights, to return all steps and the states")
    words += ["it reads from the last step to the first: x is handed to it reversed"] * _backwards(layer)
    return "; ".join(words)


def _backwards(layer: Any) -> bool:
    return bool(getattr(layer, "go_backwards", False)) and not hasattr(layer, "forward_layer")


def _build(layer: Any, config: LSTMConfig, *_: Any) -> Callable[..., Any]:
    """``forward(x, state)`` of the layer, which returns all steps and the states."""
    from keras import ops
    from keras.layers import LSTM, Bidirectional

    def again(part: Any) -> Any:
        return LSTM.from_config(
            {**part.get_config(), "return_sequences": True, "return_state": True, "stateful": False}
        )

    if hasattr(layer, "forward_layer"):
        parts = again(layer.forward_layer), again(layer.backward_layer)
        made = Bidirectional(parts[0], merge_mode=layer.merge_mode, backward_layer=parts[1])
    else:
        made = again(layer)
    made.build((None, None, config.input_size))
    made.set_weights(layer.get_weights())

    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        x = np.ascontiguousarray(x[:, ::-1] if _backwards(layer) else x)
        given = state and tuple(ops.convert_to_tensor(np.ascontiguousarray(part)) for part in state)
        found = layers.call([made], config, ops.convert_to_tensor(x), given, None)
        output, h_n, c_n = (np.array(ops.convert_to_numpy(part)) for part in found)
        return output, (h_n, c_n)

    return forward
