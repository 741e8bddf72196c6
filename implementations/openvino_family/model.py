"""An LSTM of OpenVINO's own operation, LSTMSequence-5: batch-first, gates f, i, c, o, one bias, lengths always.

https://docs.openvino.ai/2026/documentation/openvino-ir-format/operation-sets/operation-specs/sequence/lstm-sequence-5.html
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import LSTMConfig, reorder
from conformance.spec import Array, Params

#: Threads would wait for each other longer than a small LSTM takes.
ONE_THREAD = {"INFERENCE_NUM_THREADS": 1}
#: What one thread hides where shapes are dynamic: docs/findings/openvino-08-one-thread-hides-errors.md
HIDDEN_ERRORS = (
    "refusals.feature-size",
    "refusals.reshaped-x",
    "refusals.state-shape",
    "refusals.broadcast-state",
    "refusals.batch-mismatch",
    "refusals.reshaped-state",
    "refusals.state-rank",
)


def _packed(config: LSTMConfig, params: Params, layer: int) -> tuple[Array, Array, Array]:
    """W (D, 4H, I), R (D, 4H, H) and B (D, 4H) of one layer."""

    def of(kind: str) -> Array:
        return np.stack([reorder(params[kind + slot.suffix], "figo") for slot in config.slots(layer)])

    W, R = of("weight_ih"), of("weight_hh")
    return W, R, of("bias_ih") + of("bias_hh") if config.bias else np.zeros(W.shape[:2], W.dtype)


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
        way = "bidirectional" if D == 2 else "forward"
        node = ops.lstm_sequence(below, *state, lengths, *_packed(config, params, k), H, way)
        merged = ops.transpose(node.output(0), [0, 2, 1, 3])  # (N, L, D, H)
        below = ops.reshape(merged, ops.constant([0, 0, D * H]), special_zero=True)
        inputs, finals = inputs + state, [*finals, node.output(1), node.output(2)]
    return openvino.Model([below.output(0), *finals], inputs, "lstm")
