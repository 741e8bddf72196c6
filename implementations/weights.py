"""The weights of one layer as most runtimes take them: an array of each kind for all directions, and one bias."""

from __future__ import annotations

import numpy as np

from conformance import LSTMConfig, reorder
from conformance.spec import Array, Params


def of_layer(config: LSTMConfig, params: Params, layer: int, order: str) -> tuple[Array, Array, Array, Array | None]:
    """W (D, 4H, I), R (D, 4H, P) and B (D, 4H), gates in ``order``, and W_hr (D, P, H), or None.

    B is the sum of both biases, zeros where the config has none.
    """

    def stacked(kind: str) -> Array:
        return np.stack([params[kind + slot.suffix] for slot in config.slots(layer)])

    def of(kind: str) -> Array:
        return np.stack([reorder(part, order) for part in stacked(kind)])

    W, R = of("weight_ih"), of("weight_hh")
    B = of("bias_ih") + of("bias_hh") if config.bias else np.zeros(W.shape[:2], W.dtype)
    return W, R, B, stacked("weight_hr") if config.proj_size else None
