"""IREE (https://iree.dev) on the CPU, from LSTM nodes of ONNX: compiled for each signature, weights as inputs."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params
from implementations.adapter import finding, needs
from implementations.onnx_family.graph import Run, onnx_forward
from implementations.onnx_family.iree_program import program

CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    compiled=True,
    expected_failures=finding("iree-01-lengths-ignored", "refusals.undeclared"),
)
INSTALL = "pip install onnx iree-base-compiler iree-base-runtime"


def load(model: Any) -> Run:
    """A ModelProto as a program for each signature, which serves all weights of a config."""
    from onnx import numpy_helper

    weights = [tensor for tensor in model.graph.initializer if tensor.name[0] in "WRB"]
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in weights}
    for tensor in weights:
        model.graph.initializer.remove(tensor)
    names = [info.name for info in model.graph.input]

    def run(feeds: dict[str, Array]) -> list[Array]:
        feeds = {name: np.ascontiguousarray(feeds[name]) for name in names} | values
        inputs = tuple((name, str(array.dtype), array.shape) for name, array in feeds.items())
        returned = program(model.SerializeToString(), inputs)(*feeds.values())
        return [np.array(part.to_host()) for part in returned]

    return run


@backend("iree", CAPABILITIES, available=needs("onnx", "iree.compiler", "iree.runtime", install=INSTALL))
def iree_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of a program compiled by iree-import-onnx and iree-compile for this machine."""
    if config.dtype != "float32":
        raise Unsupported(f"dtype {config.dtype}")
    return onnx_forward(config, params, load)
