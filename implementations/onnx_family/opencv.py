"""OpenCV's dnn module (https://opencv.org), from LSTM nodes of ONNX."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.onnx_family.graph import Run, onnx_forward


def load(model: Any) -> Run:
    """A ModelProto in a net for all shapes."""
    import cv2

    cv2.setNumThreads(1)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
    names = [output.name for output in model.graph.output]
    # A net holds the inputs between setInput and forward.
    lock = Lock()

    def run(feeds: dict[str, Any]) -> list[Any]:
        with lock:
            for name, value in feeds.items():
                net.setInput(np.ascontiguousarray(value), name)
            return [np.array(part) for part in net.forward(names)]

    return run


@backend(
    "opencv-dnn",
    # A node without B fails beside an initial state: docs/findings/opencv-03-optional-inputs.md
    Capabilities(
        layers=True,
        bidirectional=True,
        expected_failures={
            **finding("opencv-02-double-model", "refusals.undeclared"),
            **finding(
                "opencv-08-shapes-unchecked",
                "refusals.rank",
                "refusals.state-shape",
                "refusals.broadcast-state",
                "refusals.reshaped-state",
                "refusals.state-rank",
            ),
        },
    ),
    available=needs("onnx", "cv2", install="pip install onnx opencv-python-headless"),
)
def opencv_dnn(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of one net for all shapes."""
    return onnx_forward(config, params, load)
