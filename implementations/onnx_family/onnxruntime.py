"""ONNX Runtime's CPU LSTM (https://onnxruntime.ai), from LSTM nodes as exporters write them."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import NAN_HIDDEN, finding, needs
from implementations.onnx_family.graph import Run, onnx_forward


@backend(
    "onnxruntime",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        lengths=True,
        expected_failures={
            **finding("onnxruntime-01-no-rows-aborts", "degenerate.no-rows", "degenerate.then-right"),
            **finding("onnxruntime-02-no-steps", "degenerate.no-steps"),
            **finding("onnxruntime-03-nan-hidden", *NAN_HIDDEN),
            **finding("onnxruntime-04-length-zero", "degenerate.no-length"),
        },
    ),
    available=needs("onnx", "onnxruntime", install="pip install onnx onnxruntime"),
)
def onnxruntime_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state, lengths)``; a layout of (N, L, I) is refused by the node itself."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4

    def load(model: Any) -> Run:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        return lambda feeds: [*session.run(None, feeds)]

    return onnx_forward(config, params, load)
