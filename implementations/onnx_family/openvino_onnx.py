"""OpenVINO on the CPU, from the ONNX model: it converts the LSTM nodes to its own LSTMSequence."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.onnx_family.graph import Run, onnx_forward
from implementations.openvino_family.model import KNOWN_DYNAMIC, ONE_THREAD, infer


def load(model: Any) -> Run:
    """A ModelProto, compiled with dynamic shapes."""
    import openvino

    core = openvino.Core()
    # The CPU's own default may be bfloat16.
    hints = ONE_THREAD | {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(BytesIO(model.SerializeToString())), "CPU", hints)
    return partial(infer, compiled)


@backend(
    "openvino-onnx",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        expected_failures=KNOWN_DYNAMIC | finding("openvino-08-one-thread-hides-errors", "refusals.rank"),
    ),
    available=needs("onnx", "openvino", install="pip install onnx openvino"),
)
def openvino_onnx(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of one compiled model with dynamic shapes, which ignores lengths (openvino-01)."""
    return onnx_forward(config, params, load)
