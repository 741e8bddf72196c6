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
from implementations.adapter import needs
from implementations.openvino_family.model import KNOWN_DYNAMIC, KNOWN_STATIC, ONE_THREAD, infer, lstm_sequence_model
from implementations.options import refuse_slots, zeros
from implementations.states import by_layer, joined

BASE = Capabilities(layers=True, bidirectional=True, no_bias=True, batch_first=True, time_major=False)
STATIC = replace(BASE, lengths=True, compiled=True, expected_failures=KNOWN_STATIC)
F32 = replace(BASE, expected_failures=KNOWN_DYNAMIC)
# The CPU's default is bfloat16 where it has instructions for it: docs/findings/openvino-04-bfloat16-by-default.md
DEFAULT = replace(F32, arithmetic={"float32": "bf16"})


def sequence(name: str, capabilities: Capabilities, **hints: str) -> Backend:
    """LSTMSequence with ``hints``, compiled once for any shapes or, where that is declared, for each."""

    @backend(name, capabilities, available=needs("openvino", install="pip install openvino"))
    def build(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
        import openvino

        if config.dtype != "float32" or config.proj_size or (config.dropout and config.training):
            raise Unsupported("no projection, no dropout; OpenVINO documents that the CPU computes in float32 or less")
        core = openvino.Core()

        @lru_cache(maxsize=8)
        def compiled(*shape: int) -> Any:
            return core.compile_model(lstm_sequence_model(config, params, *shape), "CPU", ONE_THREAD | hints)

        def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
            """x (N, L, I) -> output (N, L, D·H), (h_n, c_n)."""
            rows, steps, _ = x.shape
            state = state or zeros(config, x)
            refuse_slots(config, *state)
            each = np.asarray([steps] * rows if lengths is None else lengths, np.int32)
            model = compiled(rows, steps) if capabilities.compiled else compiled()
            output, *finals = infer(model, [x, each, *by_layer(config, state, axis=1)])
            return output, joined(finals, axis=1)

        return forward

    return build


openvino_f32 = sequence("openvino", F32, INFERENCE_PRECISION_HINT="f32")
openvino_static = sequence("openvino-static", STATIC, INFERENCE_PRECISION_HINT="f32")
openvino_default = sequence("openvino-default", DEFAULT)
