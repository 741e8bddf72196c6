"""oneDNN's LSTM primitive (https://uxlfoundation.github.io/oneDNN) from C++, as Debian has it: one for each layer."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend, guard
from conformance.spec import Array, Params, State
from implementations.adapter import finding
from implementations.native.compiling import library, needs_header, pointer
from implementations.weights import of_layer


@backend(
    "onednn",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        projection=True,
        expected_failures={
            **finding("onednn-01-no-rows-crash", "degenerate.no-rows", "degenerate.then-right"),
            **finding("onednn-02-no-steps", "degenerate.no-steps"),
        },
    ),
    available=needs_header("dnnl.hpp", "apt-get install libdnnl-dev"),
)
def onednn(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state)``; C++ trusts the pointers that it is handed, so calls are guarded here."""
    if config.dtype != "float32" or config.batch_first or (config.dropout and config.training):
        raise Unsupported("the primitive is asked in float32, time-major, for inference")
    layers = [of_layer(config, params, k, "ifgo") for k in range(config.num_layers)]
    run = library(Path(__file__).with_suffix(".cpp"), "-ldnnl").onednn_lstm
    D, H, P = config.num_directions, config.hidden_size, config.output_size

    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I) -> output (L, N, D·P), (h_n, c_n)."""
        if x.ndim == 2:
            raise Unsupported("unbatched")
        guard(config, x, state)
        (L, N, _), y = x.shape, np.ascontiguousarray(x)
        h_n, c_n = (np.empty((config.num_layers * D, N, size), x.dtype) for size in (P, H))
        for k, weights in enumerate(layers):
            own, x = slice(k * D, (k + 1) * D), y
            given = [None if part is None else np.ascontiguousarray(part[own]) for part in state or (None, None)]
            y = np.empty((L, N, D * P), x.dtype)
            arrays = [x, *given, *weights, y, h_n[own], c_n[own]]
            if status := run(*map(ctypes.c_long, (L, N, x.shape[2], H, P, D)), *map(pointer, arrays)):
                raise RuntimeError(f"oneDNN's status {status}")
        return y, (h_n, c_n)

    return forward
