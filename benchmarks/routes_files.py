"""Five small models, trained for a few steps, and the routes by which they are exported: for ``benchmarks.routes``.

``python -m benchmarks.routes_files TASKS.json`` writes files in the environment whose interpreter runs it. It needs
NumPy and the framework of the route, and nothing of the suite.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Arrays = Mapping[str, Any]


class Lstm(NamedTuple):
    """One LSTM of a model: nn.LSTM's arguments."""

    sizes: tuple[int, int]
    options: Mapping[str, Any]


#: The LSTMs of each model, by their names in it, one after the other; "tagger" has a Linear behind.
MODELS: Mapping[str, Mapping[str, Lstm]] = {
    "plain": {"lstm": Lstm((4, 4), {})},
    "stacked": {"lstm": Lstm((3, 4), {"num_layers": 2, "bidirectional": True})},
    "projected": {"lstm": Lstm((3, 6), {"proj_size": 2, "bias": False})},
    "tagger": {"encoder": Lstm((3, 5), {"batch_first": True, "bias": False})},
    "two": {"encoder": Lstm((3, 4), {}), "decoder": Lstm((4, 4), {})},
    # Not trained: the first layer of "stacked", for an export that leaves the second one out.
    "lower": {"lstm": Lstm((3, 4), {"bidirectional": True})},
}
TRAINED = tuple(name for name in MODELS if name != "lower")

STEPS, ROWS = 6, 2


# torch


def _module(model: str) -> Any:
    import torch  # noqa: PLC0415

    class One(torch.nn.Module):
        def __init__(self, lstm: Any) -> None:
            super().__init__()
            self.lstm = lstm

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x)[0]

    class Tagger(torch.nn.Module):
        def __init__(self, encoder: Any) -> None:
            super().__init__()
            self.encoder, self.head = encoder, torch.nn.Linear(encoder.hidden_size, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.encoder(x)[0])

    class Two(torch.nn.Module):
        def __init__(self, encoder: Any, decoder: Any) -> None:
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.decoder(self.encoder(x)[0])[0]

    lstms = {name: torch.nn.LSTM(*lstm.sizes, **lstm.options) for name, lstm in MODELS[model].items()}
    return {"tagger": Tagger, "two": Two}.get(model, One)(**lstms)


def _x(model: str) -> Any:
    import torch  # noqa: PLC0415

    first = next(iter(MODELS[model].values()))
    rows = (ROWS, STEPS) if first.options.get("batch_first") else (STEPS, ROWS)
    return torch.randn(*rows, first.sizes[0], generator=torch.Generator().manual_seed(1))


def train(model: str, weights: str, file: str) -> None:
    """Train it for a few steps from a seed, and write its weights to ``file`` by the names of its ``state_dict``."""
    import torch  # noqa: PLC0415

    torch.manual_seed(TRAINED.index(model))
    module, x = _module(model), _x(model)
    optimizer = torch.optim.Adam(module.parameters(), 0.05)
    for _ in range(5):
        optimizer.zero_grad()
        (module(x) - x.mean()).square().mean().backward()
        optimizer.step()
    np.savez(file, allow_pickle=False, **{name: value.numpy() for name, value in module.state_dict().items()})


def _torch(write: Callable[[Any, Any, str], None]) -> Callable[[str, str, str], None]:
    """A route of torch: ``write`` gets the model with its weights, an input, and the file to write."""

    def export(model: str, weights: str, file: str) -> None:
        import torch  # noqa: PLC0415

        module = _module(model)
        with np.load(weights) as arrays:
            module.load_state_dict({name: torch.tensor(arrays[name]) for name in arrays})
        write(module.eval(), _x(model), file)

    return export


def _onnx(module: Any, x: Any, file: str) -> None:
    import torch  # noqa: PLC0415

    torch.onnx.export(module, (x,), file, dynamo=False, input_names=["x"])


def _onnx_dynamo(module: Any, x: Any, file: str) -> None:
    import torch  # noqa: PLC0415

    torch.onnx.export(module, (x,), file, dynamo=True, verbose=False, external_data=False)


def _script(module: Any, x: Any, file: str) -> None:
    import torch  # noqa: PLC0415

    torch.jit.script(module).save(file)


def _program(module: Any, x: Any, file: str) -> None:
    import torch  # noqa: PLC0415

    torch.export.save(torch.export.export(module, (x,)), file)


# Keras


def _keras(keras: Any, model: str, weights: str, batch: Mapping[str, Any]) -> Any:
    """The model in Keras, with the weights brought into its convention: transposed, and one bias, the sum of both."""
    layers = keras.layers
    with np.load(weights) as loaded:
        arrays = dict(loaded)
    first = next(iter(MODELS[model].values()))
    x = y = keras.Input((STEPS if batch else None, first.sizes[0]), **batch)
    for name, lstm in MODELS[model].items():
        both, bias = bool(lstm.options.get("bidirectional")), bool(lstm.options.get("bias", True))
        for k in range(lstm.options.get("num_layers", 1)):
            layer = layers.LSTM(lstm.sizes[1], use_bias=bias, return_sequences=True, name=f"{name}_{k}")
            layer = layers.Bidirectional(layer, name=f"{name}_{k}") if both else layer
            y = layer(y)
            ends = [f"l{k}", f"l{k}_reverse"] if both else [f"l{k}"]
            layer.set_weights([value for end in ends for value in _converted(arrays, name, end, bias)])
    if model == "tagger":
        head = layers.Dense(2)
        y = head(y)
        head.set_weights([arrays["head.weight"].T, arrays["head.bias"]])
    return keras.Model(x, y)


def _converted(arrays: Arrays, name: str, end: str, bias: bool) -> list[Any]:
    kernels = [arrays[f"{name}.{kind}_{end}"].T for kind in ("weight_ih", "weight_hh")]
    return [*kernels, arrays[f"{name}.bias_ih_{end}"] + arrays[f"{name}.bias_hh_{end}"]] if bias else kernels


def _keras_file(model: str, weights: str, file: str) -> None:
    import os  # noqa: PLC0415
    from importlib.util import find_spec  # noqa: PLC0415

    os.environ.setdefault("KERAS_BACKEND", next(name for name in ("torch", "tensorflow", "jax") if find_spec(name)))
    import keras  # noqa: PLC0415

    _keras(keras, model, weights, {}).save(file)


def _tflite(model: str, weights: str, file: str) -> None:
    """Keras 2: of Keras 3, TensorFlow's converter writes a loop instead of the operator."""
    import tensorflow as tf  # noqa: PLC0415
    import tf_keras  # noqa: PLC0415

    lite: Any = tf
    made = _keras(tf_keras, model, weights, {"batch_size": ROWS})
    Path(file).write_bytes(lite.lite.TFLiteConverter.from_keras_model(made).convert())


class Route(NamedTuple):
    """A way to export."""

    #: How its files end.
    ending: str
    #: The packages that write a file, and those that judge it.
    writes: tuple[str, ...]
    judges: tuple[str, ...]
    write: Callable[[str, str, str], None]
    #: The models that it cannot express, and why.
    lacks: Mapping[str, str]


_NO_PROJECTION = {"projected": "no projection"}

ROUTES: Mapping[str, Route] = {
    "torch.onnx": Route("onnx", ("torch", "onnx"), ("onnx",), _torch(_onnx), _NO_PROJECTION),
    "torch.onnx dynamo": Route(
        "onnx", ("torch", "onnx", "onnxscript"), ("onnx",), _torch(_onnx_dynamo), _NO_PROJECTION
    ),
    "TorchScript": Route("pt", ("torch",), ("torch",), _torch(_script), {}),
    "torch.export": Route("pt2", ("torch",), ("torch",), _torch(_program), {}),
    "Keras": Route("keras", ("keras",), ("keras",), _keras_file, _NO_PROJECTION),
    "TensorFlow Lite": Route("tflite", ("tensorflow", "tf_keras"), ("ai_edge_litert",), _tflite, _NO_PROJECTION),
}


def main() -> None:
    """Write the files of TASKS: a list of route, model, file of weights and file to write; route "train" trains."""
    warnings.simplefilter("ignore")
    for route, model, weights, file in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        (train if route == "train" else ROUTES[route].write)(model, weights, file)


if __name__ == "__main__":
    main()
