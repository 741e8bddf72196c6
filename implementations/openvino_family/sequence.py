"""OpenVINO's own LSTM (model.py) on the CPU: with dynamic shapes, compiled for each shape, and as it comes."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from conformance import Backend, Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from implementations.adapter import finding, needs
from implementations.openvino_family.model import HIDDEN_ERRORS, ONE_THREAD, lstm_sequence_model
from implementations.options import refuse_slots, zeros


def sequence(name: str, capabilities: Capabilities, hints: dict[str, Any], static: bool = False) -> Backend:
    """LSTMSequence compiled with ``hints`` and for one thread, once for any shapes or, if ``static``, for each."""

    @backend(name, capabilities, available=needs("openvino", install="pip install openvino"))
    def build(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
        import openvino

        if config.proj_size or (config.dropout and config.training):
            raise Unsupported("LSTMSequence has no projection and no dropout")
        if config.dtype != "float32":
            raise Unsupported(f"dtype {config.dtype}: OpenVINO documents that the CPU computes in float32 or less")
        core, D = openvino.Core(), config.num_directions

        @lru_cache(maxsize=8)
        def compiled(*shape: int) -> Any:
            return core.compile_model(lstm_sequence_model(config, params, *shape), "CPU", ONE_THREAD | hints)

        def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
            """x (N, L, I) -> output (N, L, D·H), (h_n, c_n)."""
            rows, steps, _ = x.shape
            h_0, c_0 = state or zeros(config, x)
            refuse_slots(config, h_0, c_0)
            feeds = [x, np.asarray([steps] * rows if lengths is None else lengths, np.int32)]
            for k in range(0, len(h_0), D):
                feeds += [part[k : k + D].swapaxes(0, 1) for part in (h_0, c_0)]
            model = compiled(rows, steps) if static else compiled()
            # Each call has a request of its own: other threads run meanwhile.
            found = model.create_infer_request().infer(feeds)
            output, *finals = (found[port].copy() for port in model.outputs)
            h_n, c_n = (np.concatenate(parts, axis=1).swapaxes(0, 1) for parts in (finals[::2], finals[1::2]))
            return output, (h_n, c_n)

        return forward

    return build


CAPABILITIES = Capabilities(layers=True, bidirectional=True, no_bias=True, batch_first=True, time_major=False)
DYNAMIC = {
    **finding("openvino-01-lengths-ignored", "refusals.undeclared"),
    **finding("openvino-02-no-steps-uninitialised", "degenerate.no-steps"),
    **finding("openvino-08-one-thread-hides-errors", *HIDDEN_ERRORS),
}
STATIC = {
    **finding("openvino-06-no-rows-crash", "degenerate.no-rows", "degenerate.then-right"),
    **finding("openvino-07-length-zero", "degenerate.no-length"),
}
F32 = {"INFERENCE_PRECISION_HINT": "f32"}

openvino_f32 = sequence("openvino", replace(CAPABILITIES, expected_failures=DYNAMIC), F32)
openvino_static = sequence(
    "openvino-static",
    replace(CAPABILITIES, lengths=True, compiled=True, expected_failures=STATIC),
    F32,
    static=True,
)
# The CPU's default is bfloat16 where it has instructions for it: docs/findings/openvino-04-bfloat16-by-default.md
openvino_default = sequence(
    "openvino-default", replace(CAPABILITIES, arithmetic={"float32": "bf16"}, expected_failures=DYNAMIC), {}
)
