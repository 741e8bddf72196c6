"""tract (https://github.com/sonos/tract), from LSTM nodes of ONNX, one plan for each shape."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params, State
from implementations.adapter import NAN_HIDDEN, finding, needs
from implementations.onnx_family.graph import Run, onnx_forward
from implementations.options import zeros

KNOWN = finding("tract-07-features-unchecked", "refusals.feature-size", "refusals.reshaped-x")
KNOWN |= finding("tract-08-nan-hidden", *NAN_HIDDEN)
CAPABILITIES = Capabilities(layers=True, bidirectional=True, no_bias=True, expected_failures=KNOWN)
KINDS = {"float32": "f32", "float64": "f64", "float16": "f16", "int32": "i32"}


def load(model: Any) -> Run:
    """A ModelProto, planned for each shape."""
    import tract

    @lru_cache(maxsize=8)
    def runnable(*facts: str) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "lstm.onnx")
            path.write_bytes(model.SerializeToString())
            inferred = tract.onnx().load(path)
        for place, fact in enumerate(facts):
            inferred.set_input_fact(place, fact)
        for place in range(inferred.output_count()):
            inferred.set_output_fact(place, None)
        return inferred.into_model().into_runnable()

    def run(feeds: dict[str, Array]) -> list[Array]:
        arrays = [np.ascontiguousarray(feeds[info.name]) for info in model.graph.input]
        facts = [",".join(map(str, [*array.shape, KINDS[array.dtype.name]])) for array in arrays]
        return [part.to_numpy() for part in runnable(*facts).run(arrays)]

    return run


@backend("tract", CAPABILITIES, available=needs("onnx", "tract", install="pip install onnx tract"))
def tract_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)``; no state is given as zeros, since the node refuses batches without one."""
    forward = onnx_forward(config, params, load)

    def with_state(x: Array, state: State | None = None, **more: Any) -> tuple[Array, State]:
        return forward(x, state or (zeros(config, x) if x.ndim == 3 else None), **more)

    return with_state
