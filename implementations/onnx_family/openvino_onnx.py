"""OpenVINO on the CPU, from the ONNX model: it converts the LSTM nodes to its own LSTMSequence."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.onnx_family.graph import Run, onnx_forward
from implementations.openvino_family.model import HIDDEN_ERRORS, ONE_THREAD


def load(model: Any) -> Run:
    """A ModelProto, compiled with dynamic shapes."""
    import openvino

    core = openvino.Core()
    # The CPU's own default may be bfloat16.
    hints = ONE_THREAD | {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(BytesIO(model.SerializeToString())), "CPU", hints)

    def run(feeds: dict[str, Any]) -> list[Any]:
        found = compiled.create_infer_request().infer(feeds)
        return [found[output].copy() for output in compiled.outputs]

    return run


@backend(
    "openvino-onnx",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        expected_failures={
            **finding("openvino-01-lengths-ignored", "refusals.undeclared"),
            **finding("openvino-02-no-steps-uninitialised", "degenerate.no-steps"),
            **finding("openvino-08-one-thread-hides-errors", *HIDDEN_ERRORS, "refusals.rank"),
        },
    ),
    available=needs("onnx", "openvino", install="pip install onnx openvino"),
)
def openvino_onnx(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of one compiled model with dynamic shapes, which ignores lengths (openvino-01)."""
    return onnx_forward(config, params, load)
