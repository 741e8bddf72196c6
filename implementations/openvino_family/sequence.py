"""OpenVINO's own operation, LSTMSequence-5, on the CPU: batch-first, gates f, i, c, o, one bias, lengths always.

https://docs.openvino.ai/2026/documentation/openvino-ir-format/operation-sets/operation-specs/sequence/lstm-sequence-5.html
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from conformance import Backend, Capabilities, LSTMConfig, Unsupported, backend, reorder
from conformance.spec import Array, Params, State, state_shapes
from implementations.adapter import finding, needs


def _model(config: LSTMConfig, params: Params, N: int = -1, L: int = -1) -> Any:
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
        W, R = (np.stack([reorder(params[kind + slot.suffix], "figo") for slot in config.slots(k)])
                for kind in ("weight_ih", "weight_hh"))  # fmt: skip
        B = np.zeros((D, 4 * H), dtype)
        if config.bias:
            B = np.stack([reorder(params["bias_ih" + s.suffix] + params["bias_hh" + s.suffix], "figo")
                          for s in config.slots(k)])  # fmt: skip
        state = [ops.parameter([N, D, H], dtype, f"{name}_{k}") for name in ("h_0", "c_0")]
        way = "bidirectional" if D == 2 else "forward"
        node = ops.lstm_sequence(below, *state, lengths, W, R, B, H, way)
        merged = ops.transpose(node.output(0), [0, 2, 1, 3])  # (N, L, D, H)
        below = ops.reshape(merged, ops.constant([0, 0, D * H]), special_zero=True)
        inputs, finals = inputs + state, [*finals, node.output(1), node.output(2)]
    return openvino.Model([below.output(0), *finals], inputs, "lstm")


def sequence(name: str, capabilities: Capabilities, precision: str | None = "f32", static: bool = False) -> Backend:
    """LSTMSequence with an inference precision, or the CPU's own default, for any shapes or compiled for each."""

    @backend(name, capabilities, available=needs("openvino", install="pip install openvino"))
    def build(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
        import openvino

        if config.proj_size or (config.dropout and config.training):
            raise Unsupported("LSTMSequence has no projection and no dropout")
        hints = {"INFERENCE_PRECISION_HINT": precision} if precision else {}
        core, D = openvino.Core(), config.num_directions

        @lru_cache(maxsize=8)
        def compiled(*shape: int) -> Any:
            return core.compile_model(_model(config, params, *shape), "CPU", hints | {"INFERENCE_NUM_THREADS": 1})

        def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
            """x (N, L, I) -> output (N, L, D·H), (h_n, c_n)."""
            rows, steps, _ = x.shape
            zeros = (np.zeros(shape, x.dtype) for shape in state_shapes(config, rows))
            h_0, c_0 = zeros if state is None else state
            feeds = [x, np.asarray([steps] * rows if lengths is None else lengths, np.int32)]
            for k in range(config.num_layers):
                own = slice(D * k, D * (k + 1))
                feeds += [h_0[own].swapaxes(0, 1), c_0[own].swapaxes(0, 1)]
            model = compiled(rows, steps) if static else compiled()
            found = model.create_infer_request().infer(feeds)
            output, *finals = (found[port].copy() for port in model.outputs)
            h_n, c_n = (np.concatenate(parts, axis=1).swapaxes(0, 1) for parts in (finals[::2], finals[1::2]))
            return output, (h_n, c_n)

        return forward

    return build


# With dynamic shapes it ignores the lengths: docs/findings/openvino-01-lengths-ignored.md
CAPABILITIES = Capabilities(layers=True, bidirectional=True, no_bias=True, batch_first=True, time_major=False)

openvino_f32 = sequence("openvino", CAPABILITIES)
STATIC = {
    **finding("openvino-06-no-rows-crash", "degenerate.no-rows", "degenerate.then-right"),
    **finding("openvino-07-length-zero", "degenerate.no-length"),
}
openvino_static = sequence(
    "openvino-static", replace(CAPABILITIES, lengths=True, compiled=True, expected_failures=STATIC), static=True
)
# The CPU's default is bfloat16 where it has instructions for it: docs/findings/openvino-04-bfloat16-by-default.md
openvino_default = sequence("openvino-default", replace(CAPABILITIES, arithmetic={"float32": "bf16"}), precision=None)
