"""The ONNX project's own evaluator in NumPy, ``onnx.reference.ReferenceEvaluator``."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.onnx_family.graph import Run, onnx_forward


def load(model: Any) -> Run:
    """A ModelProto in an evaluator of its own."""
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(model)
    return lambda feeds: list(evaluator.run(None, feeds))


@backend(
    "onnx-reference",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        dtypes=("float32", "float64", "float16"),
        expected_failures={
            **finding("onnx-reference-01-lengths-ignored", "refusals.undeclared"),
            **finding(
                "onnx-reference-05-state-broadcast",
                "refusals.state-shape",
                "refusals.broadcast-state",
                "refusals.batch-mismatch",
                "refusals.reshaped-state",
                "refusals.state-rank",
            ),
            **finding("onnx-reference-07-input-unchecked", "refusals.rank", "refusals.reshaped-x"),
            **finding("onnx-reference-06-infinite-cell", "nonfinite.infinite-state"),
        },
    ),
    available=needs("onnx", install="pip install onnx"),
)
def onnx_reference(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)``; batch_first is the attribute layout=1. Lengths are ignored."""
    return onnx_forward(config, params, load)
