"""LiteRT (TensorFlow Lite, https://ai.google.dev/edge/litert): its operators for LSTMs of one and two directions."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from threading import Lock

import numpy as np

from conformance import Backend, Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params, State
from implementations.adapter import NAN_HIDDEN, finding, needs
from implementations.mobile.litert_model import interpreter
from implementations.options import refuse, refuse_slots

KNOWN = finding("litert-01-nan-hidden", *NAN_HIDDEN)
CAPABILITIES = Capabilities(layers=True, no_bias=True, batch_first=True, projection=True, expected_failures=KNOWN)
# Batch-first it is wrong for several rows: docs/findings/litert-03-bidirectional-batch-first.md
BIDIRECTIONAL = replace(CAPABILITIES, batch_first=False, bidirectional=True)


def litert_backend(name: str, capabilities: Capabilities) -> Backend:
    """An operator for each layer: BIDIRECTIONAL_SEQUENCE_LSTM for two directions, else UNIDIRECTIONAL_SEQUENCE_LSTM."""

    @backend(name, capabilities, available=needs("ai_edge_litert", install="pip install ai-edge-litert"))
    def build(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
        refuse(capabilities, config)
        # A call of another shape needs another model: the shapes of variable tensors, the states, are fixed.
        loaded, lock = lru_cache(maxsize=4)(partial(interpreter, config, params)), Lock()

        def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
            """x (L, N, I), or (N, L, I) if batch_first -> output in x's layout, (h_n, c_n)."""
            if x.ndim != 3:
                raise ValueError(f"the models have an input of three axes, got {x.shape}")
            refuse_slots(config, *(state or ()))
            with lock:
                runner, states = loaded(x.shape)
                runner.reset_all_variables()
                for k, places in enumerate(states):
                    for place, part in zip(places, state or (), strict=False):
                        runner.set_tensor(place, np.ascontiguousarray(part[k]))
                runner.set_tensor(0, np.ascontiguousarray(x))
                runner.invoke()
                h_n, c_n = (np.stack([runner.get_tensor(places[part]) for places in states]) for part in (0, 1))
                return runner.get_tensor(runner.get_output_details()[0]["index"]), (h_n, c_n)

        return forward

    return build


litert = litert_backend("litert", CAPABILITIES)
litert_bidirectional = litert_backend("litert-bidirectional", BIDIRECTIONAL)
