"""ONNX Runtime's CPU LSTM (https://onnxruntime.ai), from LSTM nodes as exporters write them."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import NAN_HIDDEN, finding, needs
from implementations.onnx_family.graph import Run, onnx_forward

#: What the node does wherever it comes from.
EXPECTED = {
    **finding("onnxruntime-01-no-rows-aborts", "degenerate.no-rows", "degenerate.then-right"),
    **finding("onnxruntime-02-no-steps", "degenerate.no-steps"),
    **finding("onnxruntime-03-nan-hidden", *NAN_HIDDEN),
}
CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    lengths=True,
    expected_failures=EXPECTED | finding("onnxruntime-04-length-zero", "degenerate.no-length"),
)


def session(content: bytes) -> Any:
    """The model in an ``InferenceSession`` of one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])


def load(model: Any) -> Run:
    """A ModelProto in a session of its own."""
    loaded = session(model.SerializeToString())
    return lambda feeds: [*loaded.run(None, feeds)]


@backend("onnxruntime", CAPABILITIES, available=needs("onnx", "onnxruntime", install="pip install onnx onnxruntime"))
def onnxruntime_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state, lengths)``; a layout of (N, L, I) is refused by the node itself."""
    return onnx_forward(config, params, load)
