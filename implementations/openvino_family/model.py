"""An LSTM of OpenVINO's own operation, LSTMSequence-5: batch-first, gates f, i, c, o, one bias, lengths always.

https://docs.openvino.ai/2026/documentation/openvino-ir-format/operation-sets/operation-specs/sequence/lstm-sequence-5.html
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import LSTMConfig
from conformance.spec import Array, Params
from implementations.adapter import finding, refusals
from implementations.weights import of_layer

#: Threads would wait for each other longer than a small LSTM takes.
ONE_THREAD = {"INFERENCE_NUM_THREADS": 1}
#: What fails where shapes are dynamic, from an ONNX model too.
KNOWN_DYNAMIC = {
    **finding("openvino-01-lengths-ignored", "refusals.undeclared"),
    **finding("openvino-02-no-steps-uninitialised", "degenerate.no-steps"),
    **finding(
        "openvino-08-one-thread-hides-errors",
        *refusals("feature-size", "reshaped-x", "state-shape", "broadcast-state", "batch-mismatch", "reshaped-state"),
        "refusals.state-rank",
    ),
}
#: What fails where the model is compiled for one shape.
KNOWN_STATIC = {
    **finding("openvino-06-no-rows-crash", "degenerate.no-rows", "degenerate.then-right"),
    **finding("openvino-07-length-zero", "degenerate.no-length"),
    **finding("openvino-09-lengths-unchecked", "refusals.lengths"),
}


def lstm_sequence_model(config: LSTMConfig, params: Params, N: int = -1, L: int = -1) -> Any:
    """For N rows and L steps, or any: x (N, L, I), lengths (N,), h_0 and c_0 (N, D, H) for each layer.

    It gives the output (N, L, D·H), then h_n and c_n (N, D, H) of each layer.
    """
    import openvino
    from openvino import opset13 as ops

    D, H, dtype = config.num_directions, config.hidden_size, np.dtype(config.dtype)
    x = below = ops.parameter([N, L, config.input_size], dtype, "x")
    lengths = ops.parameter([N], np.int32, "lengths")
    inputs, finals = [x, lengths], []
    for k in range(config.num_layers):
        state = [ops.parameter([N, D, H], dtype, f"{name}_{k}") for name in ("h_0", "c_0")]
        W, R, B, _ = of_layer(config, params, k, "figo")
        way = "bidirectional" if D == 2 else "forward"
        node = ops.lstm_sequence(below, *state, lengths, W, R, B, H, way)
        merged = ops.transpose(node.output(0), [0, 2, 1, 3])  # (N, L, D, H)
        below = ops.reshape(merged, ops.constant([0, 0, D * H]), special_zero=True)
        inputs, finals = inputs + state, [*finals, node.output(1), node.output(2)]
    return openvino.Model([below.output(0), *finals], inputs, "lstm")


def infer(model: Any, feeds: Any) -> list[Array]:
    """The outputs of a compiled model. Each call has a request of its own: other threads run meanwhile."""
    found = model.create_infer_request().infer(feeds)
    return [found[port].copy() for port in model.outputs]
