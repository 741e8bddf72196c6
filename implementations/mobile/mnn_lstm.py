"""MNN (https://github.com/alibaba/MNN) on the CPU, from LSTM nodes of ONNX, converted and run as a Module."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from conformance import Backend, Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params
from implementations.adapter import finding, needs, refusals
from implementations.mobile.mnn_model import module_of
from implementations.onnx_family.graph import Run, onnx_forward

KNOWN = {
    **finding("mnn-08-nan-hidden", "nonfinite.nan-kept", "nonfinite.nan-weight"),
    **finding("mnn-09-no-steps-crash", "degenerate.no-steps", "degenerate.then-right"),
    **finding("mnn-10-errors-are-empty", *refusals("feature-size", "rank", "reshaped-x", "undeclared")),
}
# One direction fails with an initial state: docs/findings/mnn-01-initial-state.md
CAPABILITIES = Capabilities(layers=True, bidirectional=True, no_bias=True, initial_state=False, expected_failures=KNOWN)


def load(precision: str, model: Any) -> Run:
    """A ModelProto in a Module for all shapes."""
    import MNN

    names = [info.name for info in model.graph.input]
    module, lock = module_of(model, names, precision), Lock()

    def run(feeds: dict[str, Array]) -> list[Array]:
        arrays = [np.ascontiguousarray(feeds[name]) for name in names]
        given = [MNN.expr.const(array, list(array.shape), MNN.expr.NCHW) for array in arrays]
        with lock:
            return [np.array(part.read()) for part in module.forward(given)]

    return run


def mnn_backend(name: str, precision: str) -> Backend:
    """The converted model, with one of MNN's precisions."""

    @backend(name, CAPABILITIES, available=needs("onnx", "MNN", install="pip install onnx MNN"))
    def build(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        return onnx_forward(config, params, partial(load, precision))

    return build


mnn_dynamic = mnn_backend("mnn", "high")
mnn_default = mnn_backend("mnn-default", "normal")
