"""LiteRT (TensorFlow Lite, https://ai.google.dev/edge/litert): its operators for LSTMs of one and two directions."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from implementations.adapter import NAN_HIDDEN, finding, needs
from implementations.mobile.litert_model import litert_model
from implementations.options import refuse_slots

CAPABILITIES = Capabilities(
    layers=True,
    no_bias=True,
    batch_first=True,
    projection=True,
    expected_failures=finding("litert-01-nan-hidden", *NAN_HIDDEN),
)
AVAILABLE = needs("ai_edge_litert", install="pip install ai-edge-litert")


@backend("litert", CAPABILITIES, available=AVAILABLE)
def litert(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state)`` of UNIDIRECTIONAL_SEQUENCE_LSTM."""
    if config.bidirectional:
        raise Unsupported("bidirectional")
    return _forward(config, params)


# Batch-first it is wrong for several rows: docs/findings/litert-03-bidirectional-batch-first.md
@backend("litert-bidirectional", replace(CAPABILITIES, batch_first=False, bidirectional=True), available=AVAILABLE)
def litert_bidirectional(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state)`` of BIDIRECTIONAL_SEQUENCE_LSTM, where there are two directions."""
    if config.batch_first:
        raise Unsupported("batch_first")
    return _forward(config, params)


def _forward(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """One interpreter for each shape; the state is written to the variable tensors."""
    from ai_edge_litert.interpreter import Interpreter

    if config.dtype != "float32" or (config.dropout and config.training):
        raise Unsupported("the operators are float32, and have no dropout")
    lock = Lock()

    # A call of another shape needs another model: the shapes of variable tensors are fixed.
    @lru_cache(maxsize=4)
    def loaded(x_shape: tuple[int, ...]) -> tuple[Any, list[tuple[int, int]]]:
        content, states = litert_model(config, params, x_shape)
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        return interpreter, states

    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first -> output in x's layout, (h_n, c_n)."""
        if x.ndim != 3:
            raise ValueError(f"the models have an input of three axes, got {x.shape}")
        refuse_slots(config, *(state or ()))
        with lock:
            interpreter, states = loaded(x.shape)
            interpreter.reset_all_variables()
            for k, places in enumerate(states):
                for place, part in zip(places, state or (), strict=False):
                    interpreter.set_tensor(place, np.ascontiguousarray(part[k]))
            interpreter.set_tensor(0, np.ascontiguousarray(x))
            interpreter.invoke()
            h_n, c_n = (np.stack([interpreter.get_tensor(places[part]) for places in states]) for part in (0, 1))
            return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), (h_n, c_n)

    return forward
