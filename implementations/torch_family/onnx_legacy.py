"""nn.LSTM written to ONNX by PyTorch's old exporter, and run by ONNX Runtime."""

# pyright: reportMissingImports=false

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from implementations.adapter import needs
from implementations.onnx_family.onnxruntime import EXPECTED, session
from implementations.torch_nn import load


@backend(
    "torch-onnx-legacy",
    # The exporter has state for the whole process.
    Capabilities(
        layers=True, bidirectional=True, no_bias=True, batch_first=True, threads=False, expected_failures=EXPECTED
    ),
    available=needs("onnx", "onnxruntime", install="pip install onnx onnxruntime"),
)
def torch_onnx_legacy(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state)`` of the model that ``torch.onnx.export(…, dynamo=False)`` writes, with dynamic axes."""
    if config.dtype != "float32" or config.proj_size or (config.dropout and config.training):
        raise Unsupported("ONNX Runtime's LSTM is float32, without projection and dropout")
    lstm, rows = load(config, params), 0 if config.batch_first else 1

    @cache
    def exported(state: bool) -> Any:
        x = torch.zeros(2, 2, config.input_size)
        h = torch.zeros(config.num_layers * config.num_directions, 2, config.hidden_size)
        axes = {"x": {rows: "N", 1 - rows: "L"}, "h_0": {1: "N"}, "c_0": {1: "N"}}
        names = list(axes) if state else ["x"]
        content: Any = io.BytesIO()
        options: Any = {"input_names": names, "output_names": ["output", "h_n", "c_n"], "dynamo": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arguments = (x, (h, h)) if state else (x,)
            torch.onnx.export(lstm, arguments, content, dynamic_axes={name: axes[name] for name in names}, **options)
        return session(content.getvalue())

    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first -> output in x's layout, (h_n, c_n)."""
        feeds = {"x": x} if state is None else {"x": x, "h_0": state[0], "c_0": state[1]}
        output, h_n, c_n = exported(state is not None).run(None, feeds)
        return output, (h_n, c_n)

    return forward
